//! The folder of a model of spectra: `model.toml` (what it is), its tensors by name
//! ([`SpectralModel::FILE`]), `templates.safetensors` (labels at which fits begin).

use super::estimator::SpectralEstimator;
use super::goodness::Goodness;
use super::spectral_model::{SpectralModel, WindowsOf};
use super::training::{ANGSTROM, fault_of_errors};
use crate::error::{Error, Result};
use crate::model::{Registry, check_grid};
use crate::observations::Grid;
use crate::package::{Estimator, Kind, MODEL_FOLDER, Package, Request};
use crate::per_pixel::train::LabelErrors;
use crate::per_pixel::{JointNetwork, LabelSpace, PixelModel, PixelNetworks, PixelPolynomials, read_labels, write_labels};
use crate::table::{write_directory_atomically, write_member};
use crate::tensor::Device;
use crate::text::hexadecimal;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

const DESCRIPTION_FILE: &str = "model.toml";
const TEMPLATES_FILE: &str = "templates.safetensors";
/// The table of the training stars.
pub const STARS_FILE: &str = "training_stars.parquet";
/// How the training went, pixel by pixel.
pub const PIXELS_FILE: &str = "training_pixels.parquet";
/// Mean losses of the iterations.
pub const HISTORY_FILE: &str = "training_history.parquet";
/// Layout of `model.toml`.
const FORMAT: u32 = 1;

/// A metric: a failed training may leave a huge one.
fn number(value: f64) -> String {
    if value.abs() < 1e5 { format!("{value:.5}") } else { format!("{value:.3e}") }
}

/// What is known of a model beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelCard {
    pub kind: String,
    pub format: u32,
    pub program: String,
    #[serde(default)]
    pub description: String,
    /// Resolving power; 0 where it is not known.
    #[serde(default)]
    pub resolution: f64,
    #[serde(default)]
    pub n_training: usize,
    #[serde(default)]
    pub n_validation: usize,
    /// Where the gradients are from; empty for models without physics.
    #[serde(default)]
    pub library: String,
    /// What in the library lets models cheat.
    #[serde(default)]
    pub weaknesses: Vec<String>,
    /// Unit of the flux.
    #[serde(default)]
    pub flux_unit: String,
    /// Means over the pixels that were trained: χ² per spectrum of training and validation, the gradient
    /// term.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    #[serde(default)]
    pub goodness: Goodness,
    /// Positions of the pixels that no training spectrum, or too few, had a flux for: they take no part in
    /// fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrained: Vec<usize>,
    /// What the spectra say of the errors of the labels; empty where labels have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_errors: Vec<LabelErrors>,
    /// What the family takes for granted that the training stars do not grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// Windows of labels that act on no other pixel, as the training had them: fits need not be told, since
    /// the flux of the others does not depend on the label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub windows_of: WindowsOf,
    pub grid: Grid,
}

/// A trained model of spectra, whatever its family: all that fits, catalogues and reports need.
pub struct SpectralCore {
    /// [`SpectralModel::KIND`] of the family.
    pub kind: &'static str,
    pub card: PixelCard,
    /// Labels from the most similar of which a fit begins `[T, L]`.
    pub templates: Array2<f64>,
    /// The model as it is evaluated.
    pub engine: Arc<dyn PixelModel>,
    /// Its shape for people ([`SpectralModel::shape`]).
    pub shape: (&'static str, String),
    sha256: String,
}

impl std::fmt::Debug for SpectralCore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = &mut formatter.debug_struct("SpectralCore");
        text.field("kind", &self.kind).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

impl SpectralCore {
    /// SHA-256 over everything that decides an estimate.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The first 16 digits of the hash, as catalogues name the model.
    pub fn id(&self) -> &str {
        self.sha256.get(..16).unwrap_or(&self.sha256)
    }

    /// The labels and their ranges.
    pub fn space(&self) -> &LabelSpace {
        self.engine.space()
    }
}

/// A trained model of spectra of a family, which can be saved.
#[derive(Debug, Clone)]
pub struct SpectralPackage<M> {
    pub model: M,
    pub core: Arc<SpectralCore>,
    /// Where spectra are fitted, by families that can.
    device: Device,
}

impl<M: SpectralModel> SpectralPackage<M> {
    /// From its parts.
    ///
    /// # Errors
    /// When model, grid and templates do not belong together.
    pub fn new(card: PixelCard, model: M, templates: Array2<f64>) -> Result<Self> {
        let engine = model.engine();
        let (space, n_pixels) = (engine.space(), engine.n_pixels());
        if card.grid.len() != n_pixels {
            return Err(Error::model(M::NAME)
                .found(format!("{n_pixels} pixels"))
                .expected(format!("{}, one for every pixel of the grid", card.grid.len())));
        }
        if templates.ncols() != space.len() || templates.nrows() == 0 {
            return Err(Error::model("templates")
                .found(format!("{:?} numbers", templates.dim()))
                .expected(format!("some stars with {} labels", space.len())));
        }
        check_grid(&card.grid)?;
        let is_same = |(angstrom, nm): (&f64, &f64)| (angstrom / (ANGSTROM * nm) - 1.0).abs() < 1e-9;
        if !engine.wavelength().iter().zip(&card.grid.wavelength).all(is_same) {
            return Err(Error::model(format!("wavelengths of {}", M::NAME))
                .found("others than those of the grid")
                .expected("the wavelengths of model.toml, in Å")
                .remedy("The folder is damaged, or two models are mixed: get it again."));
        }
        card.goodness.validate()?;
        if let Some(pixel) = card.untrained.iter().find(|&&pixel| pixel >= n_pixels) {
            return Err(Error::model("untrained").found(pixel.to_string()).expected("positions of pixels"));
        }
        let sha256 = hash(&card, &model, &templates);
        let core = SpectralCore { kind: M::KIND, card, templates, shape: model.shape(), engine, sha256 };
        Ok(Self { model, core: Arc::new(core), device: Device::cpu() })
    }

    /// The same with fits on a device.
    pub fn on(self, device: &Device) -> Self {
        Self { device: device.clone(), ..self }
    }

    /// Writes the folder; `fill` may add to it.
    ///
    /// # Errors
    /// When it exists and `overwrite` is false, or something cannot be written.
    pub fn save(&self, directory: &Path, overwrite: bool, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        write_directory_atomically(directory, overwrite, &MODEL_FOLDER, |folder| {
            write_member(&folder.join(DESCRIPTION_FILE), card_text(&self.core.card)?)?;
            self.model.write(&folder.join(M::FILE), false)?;
            write_labels(&folder.join(TEMPLATES_FILE), self.core.space(), self.core.templates.view())?;
            fill(folder)
        })
    }
}

fn card_text(card: &PixelCard) -> Result<String> {
    toml::to_string(card).map_err(|error| Error::output(DESCRIPTION_FILE).found(error.to_string()).source(error))
}

/// Over what decides an estimate; texts, numbers of stars, metrics and names of files do not enter.
fn hash(card: &PixelCard, model: &impl SpectralModel, templates: &Array2<f64>) -> String {
    let mut hash = Sha256::new();
    let (goodness, untrained, grid) = (&card.goodness, &card.untrained, &card.grid);
    let decisive = json!({ "flux_unit": card.flux_unit, "goodness": goodness, "untrained": untrained, "grid": grid });
    hash.update(decisive.to_string());
    model.digest(&mut hash);
    templates.iter().for_each(|value| hash.update(value.to_le_bytes()));
    hexadecimal(hash)
}

impl<M: SpectralModel> Package for SpectralPackage<M> {
    fn kind(&self) -> &'static str {
        M::KIND
    }

    fn sha256(&self) -> &str {
        &self.core.sha256
    }

    fn grid(&self) -> &Grid {
        &self.core.card.grid
    }

    fn parameters(&self) -> Vec<String> {
        self.core.space().names.clone()
    }

    fn estimator(self: Arc<Self>, request: &Request) -> Result<Arc<dyn Estimator>> {
        let on_device = |device: &Device| self.model.on_device(device);
        Ok(Arc::new(SpectralEstimator::new(self.core.clone(), request, (&self.device, &on_device))?))
    }

    fn describe(&self) -> (String, Value) {
        let (card, space) = (&self.core.card, self.core.space());
        let mut text = format!("{} {}\n", M::NAME, self.id());
        let mut line = |name: &str, value: String| {
            if !value.is_empty() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  {name:<25} {value}");
            }
        };
        line("description", card.description.clone());
        line("SHA-256", self.core.sha256.clone());
        line("trained by", card.program.clone());
        line("stars", format!("{} trained, {} for validation", card.n_training, card.n_validation));
        let (first, last) = (card.grid.wavelength[0], card.grid.wavelength[card.grid.len() - 1]);
        line("pixels", format!("{}, {first:.2} to {last:.2} nm", card.grid.len()));
        if card.resolution > 0.0 {
            line("resolution", card.resolution.to_string());
        }
        let (name, shape) = &self.core.shape;
        line(name, shape.clone());
        let cheats = || format!("none: {} may cheat", M::NAME);
        line("gradients", if card.library.is_empty() { cheats() } else { card.library.clone() });
        card.weaknesses.iter().chain(&card.doubts).for_each(|warning| line("warning", warning.clone()));
        card.label_errors.iter().filter_map(fault_of_errors).for_each(|fault| line("warning", fault));
        card.metrics.iter().for_each(|(name, value)| line(name, number(*value)));
        text.push_str("labels\n");
        for k in 0..space.len() {
            let _ = writeln!(
                text,
                "  {:<10}{:<10}trained from {:.3} to {:.3}",
                space.names[k], space.units[k], space.minimum[k], space.maximum[k]
            );
            if let Some(windows) = card.windows_of.get(&space.names[k]) {
                let each: Vec<String> = windows.iter().map(|[from, to]| format!("{from}–{to}")).collect();
                let _ = writeln!(text, "{:22}acts at {} Å alone", "", each.join(", "));
            }
            if let Some(errors) = card.label_errors.get(k) {
                let ratio = errors.ratio.map_or_else(|| "spectra say little".into(), |ratio| format!("{ratio:.2} of the stated"));
                let _ =
                    writeln!(text, "{:22}errors: {ratio}; taken for exact they leave {:.2} of its lines", "", errors.attenuation);
            }
        }
        let mut summary = json!({
            "kind": M::KIND,
            "sha256": self.core.sha256,
            "model_id": self.id(),
            "card": card,
            "labels": space,
        });
        if let Some(summary) = summary.as_object_mut() {
            summary.extend(self.model.summary());
        }
        (text, summary)
    }
}

/// What a package of any family that is built in has in common with the others; none of other packages.
pub fn spectral_core(package: &dyn Package) -> Option<&SpectralCore> {
    fn of<M: SpectralModel>(package: &dyn Package) -> Option<&SpectralCore> {
        let any: &dyn std::any::Any = package;
        any.downcast_ref::<SpectralPackage<M>>().map(|package| package.core.as_ref())
    }
    of::<PixelNetworks>(package).or_else(|| of::<PixelPolynomials>(package)).or_else(|| of::<JointNetwork>(package))
}

impl<M: SpectralModel> Kind for SpectralPackage<M> {
    const KIND: &'static str = M::KIND;

    fn load(directory: &Path, _effects: &Registry, device: &Device) -> Result<Self> {
        let path = directory.join(DESCRIPTION_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::reading(&path, error).of_kind(crate::error::ErrorKind::Model))?;
        let card: PixelCard = crate::text::read_toml(&text).map_err(|fault| {
            Error::model(path.display().to_string())
                .found(fault)
                .remedy("The folder is damaged, or was written by another version: train the model again.")
        })?;
        if card.format != FORMAT {
            return Err(Error::model(format!("{}, format", path.display()))
                .found(card.format.to_string())
                .expected(FORMAT.to_string())
                .remedy("Use the version of the program that wrote it, or train the model again."));
        }
        let model = M::read(&directory.join(M::FILE))?;
        let templates = read_labels(&directory.join(TEMPLATES_FILE), model.engine().space())?;
        Ok(Self::new(card, model, templates).map_err(|error| error.within(directory.display()))?.on(device))
    }
}

impl PixelCard {
    /// A card of a family with what the program knows by itself.
    pub fn of_grid<M: SpectralModel>(grid: Grid) -> Self {
        Self {
            kind: M::KIND.into(),
            format: FORMAT,
            program: concat!("photosphere ", env!("CARGO_PKG_VERSION")).into(),
            description: String::new(),
            resolution: 0.0,
            n_training: 0,
            n_validation: 0,
            library: String::new(),
            weaknesses: Vec::new(),
            flux_unit: String::new(),
            metrics: BTreeMap::new(),
            goodness: Goodness::default(),
            untrained: Vec::new(),
            label_errors: Vec::new(),
            doubts: Vec::new(),
            windows_of: BTreeMap::new(),
            grid,
        }
    }
}
