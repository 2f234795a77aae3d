//! The order of rooms in the architecture page is the real one, and rooms that should not know a parameter's
//! name do not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

/// Every source file of a room with its code: no comments, no tests.
fn rooms() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let of_tests = [
        "tests",
        "formats",
        "mutations",
        "round_trip",
        "real_files",
        "hostile",
        "parity",
        "dialects",
        "spellings",
        "test_problems",
    ];
    let code = |path: PathBuf| {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let inside = path.strip_prefix(&root).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let is_test = of_tests.contains(&stem.as_str()) || stem.ends_with("_tests");
        if is_test || ["lib", "main"].contains(&room.as_str()) {
            return None;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let tests = text
            .match_indices("#[cfg(test)]\n")
            .find(|(at, _)| text[*at..].lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{')));
        let code = tests.map_or(text.as_str(), |(at, _)| &text[..at]);
        let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        Some((room, path.clone(), lines.join("\n")))
    };
    files.into_iter().filter_map(code).collect()
}

/// Rooms that code names: after `crate::`, alone or in braces.
fn used(code: &str) -> Vec<String> {
    let name = |text: &str| text.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned();
    let after = code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with(['$', '_']));
    after
        .flat_map(|(at, _)| {
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().split(',').map(name).collect::<Vec<_>>(),
                None => vec![name(rest)],
            }
        })
        .collect()
}

#[test]
fn a_room_uses_rooms_to_its_left() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/architecture.md")).unwrap();
    let order = page.split("```text\n").nth(1).unwrap().lines().next().unwrap();
    let steps = order.split('→').enumerate();
    let place: BTreeMap<&str, usize> =
        steps.flat_map(|(step, rooms)| rooms.split(',').map(move |room| (room.trim(), step))).collect();
    let mut faults = Vec::new();
    for (room, path, code) in rooms() {
        let Some(own) = place.get(room.as_str()) else {
            faults.push(format!("{room} is not in the order"));
            continue;
        };
        for other in used(&code).into_iter().filter(|other| *other != room) {
            match place.get(other.as_str()) {
                Some(step) if step <= own => {}
                Some(_) => faults.push(format!("{} uses {other}, which is to its right", path.display())),
                // A macro or an item of the crate's root.
                None => {}
            }
        }
    }
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_effects_and_the_table_of_quantities_know_what_a_parameter_is_called() {
    let names = ["teff", "logg", "feh", "extinction", "parallax", "xi"];
    let effects = ["emulator", "second_star", "extinction", "extinction_law", "distance"];
    let mut knowing: Vec<String> = effects.iter().map(|effect| format!("model/{effect}.rs")).collect();
    knowing.push("infer/flags.rs".into());
    let mut faults = Vec::new();
    for (room, path, code) in rooms() {
        let is_bound =
            ["model", "package", "prior", "optimise", "posterior", "train", "infer", "catalogue", "run"].contains(&room.as_str());
        if !is_bound || knowing.iter().any(|file| path.ends_with(file)) {
            continue;
        }
        faults.extend(
            names
                .iter()
                .filter(|name| code.contains(&format!("\"{name}\"")))
                .map(|name| format!("{}: \"{name}\"", path.display())),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
