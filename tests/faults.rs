//! Fault trials of a run over partitions: processes that are killed or told to stop at random moments,
//! corrupt and altered files, bad stars, read-only and full disks, two processes on the same work, another
//! model. Whatever happened, the finished catalogue is bytewise that of an undisturbed run. `cargo
//! test --release --test faults -- --nocapture` prints the counts.
#![cfg(unix)]

mod common;

use common::{model, observations, photosphere, run, set, succeed, with_column, write};
use photosphere::infer::flags;
use photosphere::table;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const N_PARTITIONS: usize = 6;
const STARS: usize = 40;
/// Trials of each signal.
const N_TRIALS: usize = 20;

/// A small HATS catalogue of simulated stars and the undisturbed run over it, made once.
fn survey() -> &'static (TempDir, Files, Duration) {
    static SURVEY: OnceLock<(TempDir, Files, Duration)> = OnceLock::new();
    SURVEY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let table = with_column(observations(N_PARTITIONS * STARS), "flux", |flux| {
            // one star of every partition is bad
            (0..N_PARTITIONS).for_each(|k| (0..66).for_each(|w| set(flux, k * STARS * 66 + w, f64::NAN)));
        });
        let pixels = path.join("stars/dataset/Norder=1/Dir=0");
        std::fs::create_dir_all(&pixels).unwrap();
        for k in 0..N_PARTITIONS {
            write(&table.slice(k * STARS..(k + 1) * STARS), &pixels, &format!("Npix={k}.parquet"));
        }
        std::fs::write(path.join("stars/properties"), "obs_collection=stars\ndataproduct_type=object\n").unwrap();
        let begin = Instant::now();
        succeed(path, &fit("stars", "whole/"));
        let duration = begin.elapsed();
        succeed(path, "finalize whole");
        let files = catalogue(&path.join("whole"));
        assert_eq!(
            files.len(),
            N_PARTITIONS + 6,
            "properties twice, pixels, summary, and the dataset's metadata twice: {files:?}"
        );
        (folder, files, duration)
    })
}

/// Contents by relative path.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// All files of a catalogue but `.photosphere/`; a temporary one that is left over is one too many. None
/// where a run was stopped before it made the folder.
fn catalogue(folder: &Path) -> Files {
    if !folder.exists() {
        return Files::new();
    }
    let files = walkdir::WalkDir::new(folder).into_iter().filter_entry(|entry| entry.file_name() != ".photosphere");
    let files = files.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    files.map(|entry| (entry.path().strip_prefix(folder).unwrap().to_owned(), std::fs::read(entry.path()).unwrap())).collect()
}

fn fit(inputs: &str, output: &str) -> String {
    format!("fit {} {inputs} -o {output} --threads 1", model().display())
}

/// An output folder of its own, beside the survey.
fn output(name: &str) -> PathBuf {
    survey().0.path().join(name)
}

/// Finishes a run that was disturbed, and compares it with the undisturbed one.
fn finish_and_compare(name: &str) {
    let path = survey().0.path();
    succeed(path, &format!("{} --resume", fit("stars", &format!("{name}/"))));
    succeed(path, &format!("finalize {name}"));
    let found = catalogue(&output(name));
    assert!(found.keys().eq(survey().1.keys()), "{:?}", found.keys());
    assert!(found == survey().1, "{name}: every file is as in the undisturbed run");
    let locks = std::fs::read_dir(output(name).join(".photosphere/locks")).unwrap().count();
    assert_eq!(locks, 0, "{name}: no lock is left");
}

fn start(arguments: &str) -> Child {
    let mut command = Command::new(photosphere(survey().0.path()).get_program());
    command.current_dir(survey().0.path()).args(arguments.split_whitespace());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn shell(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Whether every catalogue that has its name is whole.
fn no_torn_file(name: &str) -> usize {
    let whole = |(file, bytes): &(&PathBuf, &Vec<u8>)| survey().1[*file] == **bytes;
    let files = catalogue(&output(name));
    let named: Vec<_> = files.iter().filter(|(file, _)| survey().1.contains_key(*file)).collect();
    assert!(named.iter().all(whole), "{name}");
    named.len()
}

/// Starts a run, sends a signal at a random moment, resumes; a run may be hit several times.
fn signal_trials(signal: &str, seed: u64) {
    let duration = survey().2;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut n_stopped, mut n_finished, mut n_partitions) = (0, 0, 0);
    for trial in 0..N_TRIALS {
        let name = format!("{signal}_{trial}");
        let mut child = start(&format!("{} --resume", fit("stars", &format!("{name}/"))));
        std::thread::sleep(duration.mul_f64(random.gen_range(0.0..1.0)));
        shell(&format!("kill -{signal} {}", child.id()));
        let code = child.wait().unwrap().code();
        match (signal, code) {
            (_, Some(0)) => n_finished += 1,
            // Before the program watches for it, the signal ends it as any other process.
            ("KILL", None) | ("TERM", Some(143) | None) => n_stopped += 1,
            _ => panic!("{name}: exit code {code:?}"),
        }
        let n_whole = no_torn_file(&name);
        assert!(code.is_none() || catalogue(&output(&name)).len() == n_whole, "{name}: a clean stop leaves nothing temporary");
        n_partitions += n_whole;
        finish_and_compare(&name);
        std::fs::remove_dir_all(output(&name)).unwrap();
    }
    println!(
        "SIG{signal}: {N_TRIALS} trials, {n_stopped} stopped with {n_partitions} partitions done in all, {n_finished} finished before"
    );
    assert!(n_stopped > 0);
}

#[test]
fn killed_at_random_moments() {
    signal_trials("KILL", 1);
}

#[test]
fn told_to_stop_at_random_moments() {
    signal_trials("TERM", 2);
}

#[test]
fn told_to_stop_says_how_to_go_on_and_leaves_nothing_temporary() {
    let child = start(&fit("stars", "stopped/"));
    let limit = Instant::now() + Duration::from_secs(30);
    while !output("stopped/.photosphere/done").exists() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(1));
    }
    shell(&format!("kill -INT {}", child.id()));
    let ended = child.wait_with_output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{error}");
    assert!(error.contains("SIGINT") && error.contains("--resume goes on"), "{error}");
    assert!(no_torn_file("stopped") == catalogue(&output("stopped")).len(), "no temporary file");
    let (code, _, error) = run(survey().0.path(), "finalize stopped");
    assert!(code == 3 && error.contains("not done"), "{error}");
    finish_and_compare("stopped");
}

#[test]
fn a_corrupt_partition_among_good_ones() {
    let (folder, path) = (tempfile::tempdir().unwrap(), survey().0.path());
    let bad = folder.path().join("bad/dataset/Norder=1/Dir=0/Npix=3.parquet");
    let inputs = format!("{} -o corrupt/", folder.path().join("bad").display());
    shell(&format!("cp -r {} {}", path.join("stars").display(), folder.path().join("bad").display()));
    let bytes = std::fs::read(&bad).unwrap();
    std::fs::write(&bad, &bytes[..bytes.len() / 2]).unwrap();
    let command = format!("fit {} {inputs} --threads 1", model().display());
    let (code, _, error) = run(path, &command);
    assert!(code == 3 && error.contains("Npix=3.parquet") && error.contains("1 failed"), "{code}: {error}");
    assert_eq!(no_torn_file("corrupt"), N_PARTITIONS - 1);
    let (code, out, _) = run(path, "finalize corrupt --json");
    let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &summary["finished"], summary["missing"].as_array().unwrap().len()), (3, &(N_PARTITIONS - 1).into(), 1));

    let (code, _, error) = run(path, &command);
    assert!(code == 1 && error.contains("5 of 6 partitions finished") && error.contains("--resume"), "{code}: {error}");
    std::fs::write(&bad, &bytes).unwrap();
    succeed(path, &format!("{command} --resume"));
    finish_and_compare("corrupt");
    println!("corrupt partition: the other {} were written, it followed once it was whole", N_PARTITIONS - 1);

    // An input that changes after its partition is done is another one.
    write(&observations(3), bad.parent().unwrap(), "Npix=3.parquet");
    let (code, _, error) = run(path, &format!("{command} --resume"));
    assert!(code == 2 && error.contains("Npix=3.parquet") && error.contains("another input"), "{code}: {error}");
}

#[test]
fn bad_stars_inside_partitions_are_flagged_rows() {
    for k in 0..N_PARTITIONS {
        survey();
        let name = format!("whole/dataset/Norder=1/Dir=0/Npix={k}.parquet");
        let table = table::read(&output(&name)).unwrap();
        let bits = table.column("quality_flags").unwrap().to_i64().unwrap();
        let not_fitted: Vec<bool> = bits.iter().map(|bits| bits & i64::from(flags::NOT_FITTED) != 0).collect();
        assert_eq!(not_fitted, (0..STARS).map(|star| star == 0).collect::<Vec<_>>(), "{name}");
    }
    println!("bad stars: {N_PARTITIONS}, one in every partition, all flagged, all other stars fitted");
}

#[test]
fn altered_and_lost_catalogues_are_made_again() {
    let path = survey().0.path();
    succeed(path, &fit("stars", "altered/"));
    let file = |k: usize| output(&format!("altered/dataset/Norder=1/Dir=0/Npix={k}.parquet"));
    std::fs::write(file(0), "torn").unwrap();
    std::fs::remove_file(file(1)).unwrap();
    // as by a kill after the catalogue and before its marker
    std::fs::remove_file(output("altered/.photosphere/done/dataset%2FNorder=1%2FDir=0%2FNpix=2.parquet.json")).unwrap();
    let (code, _, error) = run(path, "finalize altered");
    assert!(code == 3 && error.matches("not as it was written, or gone").count() == 2, "{error}");
    assert_eq!(error.matches("not done").count(), 1, "{error}");
    finish_and_compare("altered");
}

#[test]
fn another_model_or_other_options_are_refused_by_name() {
    let path = survey().0.path();
    succeed(path, &format!("{} --shard 0/2", fit("stars", "other/")));
    for (arguments, word) in
        [("--resume --hold extinction=0", "extinction = 0.0"), ("--resume --keep-truth", "kept_truth: false"), ("", "--resume")]
    {
        let (code, _, error) = run(path, &format!("{} {arguments}", fit("stars", "other/")));
        assert!(code == if arguments.is_empty() { 1 } else { 2 } && error.contains(word), "{arguments}: {error}");
    }
    let recipe = common::TINY_RECIPE.replace("seed = 3", "seed = 4");
    std::fs::write(path.join("other.toml"), recipe).unwrap();
    succeed(path, "simulate -o overlap.parquet --stars 300");
    succeed(path, "train other.toml overlap.parquet -o other_model");
    let (code, _, error) = run(path, "fit other_model stars -o other/ --resume");
    assert!(code == 2 && error.contains("model_sha256") && error.contains("--overwrite"), "{error}");
    finish_and_compare("other");
    succeed(path, "fit other_model stars -o other/ --overwrite --threads 1");
    assert_ne!(catalogue(&output("other")), survey().1);
    succeed(path, &format!("{} --overwrite", fit("stars", "other/")));
    finish_and_compare("other");
}

#[test]
fn processes_share_partitions_and_shards_add_up() {
    let path = survey().0.path();
    for shard in [1, 0, 2] {
        succeed(path, &format!("{} --shard {shard}/3", fit("stars", "shards/")));
    }
    finish_and_compare("shards");
    let (mut n_elsewhere, n_processes) = (0, 3);
    let children: Vec<Child> = (0..n_processes).map(|_| start(&format!("{} --resume", fit("stars", "shared/")))).collect();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success() && !error.contains("panicked"), "{error}");
        n_elsewhere += error.matches("works on it; skipped").count();
    }
    assert_eq!(no_torn_file("shared"), N_PARTITIONS);
    finish_and_compare("shared");
    println!("{n_processes} processes on the same {N_PARTITIONS} partitions: {n_elsewhere} times one found another at work");
    assert!(n_elsewhere > 0);
}

#[test]
fn the_job_array_of_the_documentation() {
    let path = survey().0.path();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/scripts/fit_survey.slurm");
    let folder = Path::new(photosphere(path).get_program()).parent().unwrap().to_owned();
    let folders = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())));
    for task in 0..8 {
        let mut command = Command::new("bash");
        command.current_dir(path).arg(&script).arg(model()).args(["stars", "array"]).env("PATH", folders.as_ref().unwrap());
        let ended = command.env("SLURM_ARRAY_TASK_ID", task.to_string()).env("SLURM_CPUS_PER_TASK", "1").output().unwrap();
        assert!(ended.status.success(), "task {task}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(no_torn_file("array"), N_PARTITIONS);
    finish_and_compare("array");
    println!("job array: 8 tasks under bash");
}

#[test]
fn a_star_in_two_partitions_is_named() {
    let (folder, table) = (tempfile::tempdir().unwrap(), observations(5));
    std::fs::create_dir(folder.path().join("in")).unwrap();
    write(&table.slice(0..3), &folder.path().join("in"), "a.parquet");
    write(&table.slice(2..5), &folder.path().join("in"), "b.fits");
    succeed(folder.path(), &fit("in", "out/"));
    let (code, _, error) = run(folder.path(), "finalize out");
    let id = table.column("source_id").unwrap().to_i64().unwrap()[2];
    assert!(code == 1 && error.contains(&format!("identifier {id} in a.parquet and in b.parquet")), "{error}");
    assert_eq!(run(folder.path(), "finalize in").0, 2, "no run is there");
}

/// A small file system of its own, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one of that many kilobytes; nothing where that is not allowed.
    fn mount(name: &str, kilobytes: usize) -> Option<Self> {
        let path = output(name);
        std::fs::create_dir_all(&path).unwrap();
        let mounted = shell(&format!("mount -t tmpfs -o size={kilobytes}k tmpfs {}", path.display()));
        mounted.then_some(Self(path))
    }

    fn remount(&self, options: &str) {
        assert!(shell(&format!("mount -o remount,{options} {}", self.0.display())), "{options}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        shell(&format!("umount {}", self.0.display()));
    }
}

#[test]
fn a_full_disk_and_a_read_only_one() {
    let size: usize = survey().1.values().map(Vec::len).sum();
    let Some(disk) = Disk::mount("disk", size / 2 / 1024) else {
        println!("notice: mounting a tmpfs is not allowed here; a limit on file sizes and the modes of a folder stand in for it");
        return limited_files_and_a_folder_without_write_permission();
    };
    let path = survey().0.path();
    let (code, _, error) = run(path, &fit("stars", "disk/run/"));
    let n_done = no_torn_file("disk/run");
    assert!(code == 3 && error.contains("No space left on device") && error.contains("has space left"), "{code}: {error}");
    assert!((1..N_PARTITIONS).contains(&n_done) && catalogue(&output("disk/run")).len() == n_done, "nothing temporary is left");
    // The disk may be full for the marker of a catalogue that still found room: that partition is reported
    // and will be made again.
    let n_reported = error.matches("not fitted").count();
    assert!((N_PARTITIONS - n_done..=N_PARTITIONS - n_done + 1).contains(&n_reported), "all were tried: {error}");
    println!("full disk (tmpfs of {} kB): {n_done} partitions written, {n_reported} reported", size / 2048);

    disk.remount("ro");
    let (code, _, error) = run(path, &format!("{} --resume", fit("stars", "disk/run/")));
    assert!(code == 1 && error.contains("Read-only file system"), "{code}: {error}");
    let (code, _, error) = run(path, &fit("stars", "disk/other/"));
    assert!(code == 1 && error.contains("Read-only file system"), "{code}: {error}");
    disk.remount("rw,size=64m");
    finish_and_compare("disk/run");
    println!("read-only output folder (tmpfs remounted): refused with a message, finished once it was writable");
}

/// For who may not mount: the largest file is limited so that no catalogue can be written, and a folder has
/// no write permission.
fn limited_files_and_a_folder_without_write_permission() {
    let path = survey().0.path();
    let program = photosphere(path).get_program().to_owned();
    let command = format!("cd {} && trap '' XFSZ; ulimit -f 16; exec {:?} {}", path.display(), program, fit("stars", "limited/"));
    let ended = Command::new("sh").args(["-c", &command]).output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && error.contains("File too large"), "{error}");
    finish_and_compare("limited");
    shell(&format!("mkdir {0} && chmod 555 {0}", output("closed").display()));
    let (code, _, error) = run(path, &fit("stars", "closed/"));
    assert!(code == 1 && error.contains("Permission denied"), "{code}: {error}");
    shell(&format!("chmod 755 {}", output("closed").display()));
    finish_and_compare("closed");
    println!("limited file size and a folder without write permission: refused with messages, finished afterwards");
}
