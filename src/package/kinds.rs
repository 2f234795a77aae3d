//! Packages and the registry of their kinds.

use super::estimator::Estimator;
use super::request::Request;
use crate::error::{Error, Result};
use crate::model::Registry;
use crate::observations::Grid;
use crate::tensor::Device;
use serde_json::Value;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The file that says what a package is.
const DESCRIPTION_FILE: &str = "model.toml";

/// A saved model that has been read, of whatever kind.
pub trait Package: Any + Send + Sync {
    /// The `kind` of its `model.toml`.
    fn kind(&self) -> &'static str;

    /// SHA-256 over everything that decides an estimate.
    fn sha256(&self) -> &str;

    /// The first 16 digits of the hash, as catalogues name the model.
    fn id(&self) -> &str {
        self.sha256().get(..16).unwrap_or(self.sha256())
    }

    /// The data vector that it wants.
    fn grid(&self) -> &Grid;

    /// Names of its parameters, in the order of catalogues.
    fn parameters(&self) -> Vec<String>;

    /// What makes catalogues with it as `request` wants them.
    ///
    /// # Errors
    /// `Usage` for choices that this kind of model does not have, or that are impossible.
    fn estimator(self: Arc<Self>, request: &Request) -> Result<Arc<dyn Estimator>>;

    /// What `inspect` says of it: a text for people, and the same for programs.
    fn describe(&self) -> (String, Value) {
        let parameters = self.parameters();
        let text = format!("{} {}\n  parameters  {}\n", self.kind(), self.id(), parameters.join(", "));
        (text, serde_json::json!({ "kind": self.kind(), "sha256": self.sha256(), "parameters": parameters }))
    }
}

impl dyn Package {
    /// The package as one of a certain kind.
    ///
    /// # Errors
    /// `Usage`: `command` works on packages of that kind alone.
    pub fn require<K: Kind>(&self, command: &str) -> Result<&K> {
        let any: &dyn Any = self;
        any.downcast_ref().ok_or_else(|| {
            Error::usage(command)
                .found(format!("a model of the kind '{}'", self.kind()))
                .expected(format!("one of the kind '{}'", K::KIND))
                .remedy("Name the directory of such a model.")
        })
    }
}

/// A kind of package, which a room of its own reads.
pub trait Kind: Package + Sized {
    /// Its tag in `model.toml`.
    const KIND: &'static str;

    /// Reads a package; `effects` are those that a forward model may name.
    ///
    /// # Errors
    /// When a file is missing, damaged, or not what it should be.
    fn load(directory: &Path, effects: &Registry, device: &Device) -> Result<Self>;
}

/// The `kind` that a description or a recipe says; `None` where it does not say it. A fault further down in
/// the text does not hide what it is.
pub fn kind_of(text: &str) -> Option<String> {
    let line = || {
        let mut lines = text.lines().take_while(|line| !line.trim_start().starts_with('['));
        lines.find(|line| line.split('=').next().is_some_and(|key| key.trim() == "kind"))
    };
    let table = text.parse::<toml::Table>().ok().or_else(|| line()?.parse().ok())?;
    let kind = table.get("kind")?;
    Some(kind.as_str().map_or_else(|| kind.to_string(), str::to_owned))
}

type Loader = fn(&Path, &Registry, &Device) -> Result<Arc<dyn Package>>;

/// The kinds of packages that a program knows. Open: users' crates add their own.
#[derive(Clone, Default)]
pub struct Kinds {
    loaders: BTreeMap<&'static str, Loader>,
}

impl Kinds {
    /// The same with one more kind.
    pub fn with<K: Kind>(mut self) -> Self {
        self.loaders.insert(K::KIND, |directory, effects, device| Ok(Arc::new(K::load(directory, effects, device)?)));
        self
    }

    /// Reads the package in a folder.
    ///
    /// # Errors
    /// When its kind is unknown, and as [`Kind::load`].
    pub fn load(&self, directory: &Path, effects: &Registry, device: &Device) -> Result<Arc<dyn Package>> {
        let path = directory.join(DESCRIPTION_FILE);
        // What cannot be read, or does not say its kind, is told by the first kind, which says what is wrong
        // with it.
        let kind = std::fs::read_to_string(&path).ok().and_then(|text| kind_of(&text));
        let loader = match &kind {
            Some(kind) => self.loaders.get(kind.as_str()),
            None => self.loaders.values().next(),
        };
        let Some(loader) = loader else {
            let known: Vec<String> = self.loaders.keys().map(|kind| format!("'{kind}'")).collect();
            return Err(Error::model(format!("{}, kind", path.display()))
                .found(kind.map_or_else(|| "none".to_owned(), |kind| format!("'{kind}'")))
                .expected(known.join(" or "))
                .remedy("Name a model directory of this program."));
        };
        loader(directory, effects, device)
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.loaders.keys()).finish()
    }
}
