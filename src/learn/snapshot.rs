//! The state of anything that learns, as named numbers and bytes, and checkpoints of it in one safetensors
//! file.

use crate::error::{Error, Result};
use crate::tensor::file::{self, Entry};
use crate::tensor::{Device, Weights};
use safetensors::tensor::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Named numbers (double precision, which holds floats exactly) and bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    pub numbers: BTreeMap<String, Vec<f64>>,
    pub bytes: BTreeMap<String, Vec<u8>>,
}

impl Parts {
    /// The weights of a model.
    ///
    /// # Errors
    /// When their numbers cannot be had from the device.
    pub(crate) fn of_weights(weights: &Weights) -> Result<Self> {
        let numbers = weights.names().iter().map(|name| Ok((name.clone(), weights.values(name)?)));
        Ok(Self { numbers: numbers.collect::<Result<_>>()?, ..Self::default() })
    }

    /// Gives weights their numbers of [`Parts::of_weights`].
    ///
    /// # Errors
    /// When some are absent, or there are more or fewer of them.
    pub(crate) fn restore_weights(&self, weights: &mut Weights, device: &Device) -> Result<()> {
        for name in weights.names().to_vec() {
            weights.set(&name, self.numbers_of(&name)?, device)?;
        }
        Ok(())
    }

    /// Takes up those of another under names with `prefix` and a slash in front.
    pub(crate) fn put(&mut self, prefix: &str, parts: &Self) {
        let name = |name: &String| format!("{prefix}/{name}");
        self.numbers.extend(parts.numbers.iter().map(|(key, values)| (name(key), values.clone())));
        self.bytes.extend(parts.bytes.iter().map(|(key, values)| (name(key), values.clone())));
    }

    /// Those that [`Parts::put`] took up.
    pub(crate) fn under(&self, prefix: &str) -> Self {
        let inside = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('/')?.to_owned());
        Self {
            numbers: self.numbers.iter().filter_map(|(key, values)| Some((inside(key)?, values.clone()))).collect(),
            bytes: self.bytes.iter().filter_map(|(key, values)| Some((inside(key)?, values.clone()))).collect(),
        }
    }

    /// Numbers of that name.
    ///
    /// # Errors
    /// When there are none.
    pub fn numbers_of(&self, name: &str) -> Result<&[f64]> {
        self.numbers.get(name).map(Vec::as_slice).ok_or_else(|| {
            let error = Error::data(format!("state, '{name}'")).found("nothing of that name");
            error.expected("the state of this run").remedy("Start again with --overwrite.")
        })
    }
}

/// Name of the tensor of the digest.
const DIGEST: &str = "sha256";

/// SHA-256 over names and contents, whatever their order: bytes that were overwritten leave a file that can
/// be read.
fn digest<'a>(contents: impl Iterator<Item = (&'a str, &'a [u8])>) -> [u8; 32] {
    let sorted: BTreeMap<&str, &[u8]> = contents.collect();
    let mut hash = Sha256::new();
    for (name, bytes) in sorted {
        for part in [name.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

/// Where checkpoints go and how often.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointFile<'a> {
    pub path: &'a Path,
    /// Shortest time between two of them; they are written at ends of epochs and do not influence the result.
    pub interval: Duration,
    /// Whether one that exists is taken up.
    pub resume: bool,
}

/// The checkpoints of one run.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoints<'a> {
    pub file: CheckpointFile<'a>,
    /// What decides the run (a hash of recipe and data): a checkpoint of another is refused.
    pub run: &'a str,
}

impl CheckpointFile<'_> {
    /// Whether there is one to take up.
    pub fn is_taken_up(&self) -> bool {
        self.resume && self.path.exists()
    }

    /// The file of a run into `output`: beside it, as `output` appears only when it is finished.
    pub fn path_of(output: &Path) -> PathBuf {
        with_suffix(output, ".checkpoint")
    }

    /// The file of another run that comes before this one.
    pub fn path_before(&self) -> PathBuf {
        with_suffix(self.path, ".before")
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

impl Checkpoints<'_> {
    /// Writes one in place of the last, atomically.
    pub(crate) fn write(&self, header: &str, parts: &Parts) -> Result<()> {
        let failed = |error: String| {
            Error::output(self.file.path.display().to_string())
                .found(error)
                .expected("a checkpoint")
                .remedy("Check that the folder is writable and has space left; --resume goes on from the last checkpoint.")
        };
        let bytes_of = |name: String, bytes: &[u8]| (name, Dtype::U8, vec![bytes.len()], bytes.to_vec());
        let texts = [("run", self.run), ("header", header)].map(|(name, text)| bytes_of(name.into(), text.as_bytes()));
        let numbers = parts.numbers.iter().map(|(name, values)| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (format!("numbers/{name}"), Dtype::F64, vec![values.len()], bytes)
        });
        let bytes = parts.bytes.iter().map(|(name, bytes)| bytes_of(format!("bytes/{name}"), bytes));
        let mut entries: Vec<Entry> = texts.into_iter().chain(numbers).chain(bytes).collect();
        let digest = digest(entries.iter().map(|(name, _, _, bytes)| (name.as_str(), bytes.as_slice())));
        entries.push(bytes_of(DIGEST.to_owned(), &digest));
        let bytes = file::bytes(&entries, None).map_err(|error| failed(error.to_string()))?;
        crate::table::write_atomically(self.file.path, true, |file| file.write_all(&bytes))
    }

    /// Header and parts of the checkpoint, if there is one to take up.
    ///
    /// # Errors
    /// When it is damaged or of another run.
    pub(crate) fn read(&self) -> Result<Option<(String, Parts)>> {
        if !self.file.is_taken_up() {
            return Ok(None);
        }
        let path = self.file.path;
        let bytes = std::fs::read(path).map_err(|error| Error::reading(path, error))?;
        let place = path.display().to_string();
        let damaged =
            |what: String| Error::data(&place).found(what).expected("a whole checkpoint").remedy("Start again with --overwrite.");
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let contents = tensors.iter().filter(|(name, _)| *name != DIGEST).map(|(name, view)| (name, view.data()));
        match tensors.tensor(DIGEST) {
            Err(_) => {
                return Err(damaged("a checkpoint without a checksum, as earlier versions of the program wrote them".into()));
            }
            Ok(view) if view.data() != digest(contents) => return Err(damaged("another content than was written".into())),
            Ok(_) => {}
        }
        let text = |name: &str| -> Result<String> {
            let view = tensors.tensor(name).map_err(|error| damaged(error.to_string()))?;
            String::from_utf8(view.data().to_vec()).map_err(|error| damaged(error.to_string()))
        };
        if text("run")? != self.run {
            return Err(Error::usage(&place)
                .found("a checkpoint of another recipe, other data or another program version")
                .expected("one of this run")
                .remedy("Resume with the same recipe and data, or start again with --overwrite."));
        }
        let mut parts = Parts::default();
        for (name, view) in tensors.iter() {
            if let Some(name) = name.strip_prefix("numbers/") {
                let (chunks, _) = view.data().as_chunks::<8>();
                parts.numbers.insert(name.into(), chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect());
            } else if let Some(name) = name.strip_prefix("bytes/") {
                parts.bytes.insert(name.into(), view.data().to_vec());
            }
        }
        Ok(Some((text("header")?, parts)))
    }
}
