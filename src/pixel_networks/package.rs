//! The folder of pixel networks: `model.toml` (what they are), `networks.safetensors` (weights by name),
//! `templates.safetensors` (labels at which fits begin).

use super::estimator::PixelEstimator;
use super::goodness::Goodness;
use super::training::{ANGSTROM, fault_of_errors};
use crate::error::{Error, Result};
use crate::model::{Registry, check_grid};
use crate::observations::Grid;
use crate::package::{Estimator, Kind, Package, Request};
use crate::per_pixel::train::LabelErrors;
use crate::per_pixel::{NetworkEngine, PixelNetworks, read_labels, write_labels};
use crate::table::{FolderKind, write_directory_atomically, write_member};
use crate::tensor::Device;
use crate::text::hexadecimal;
use crate::train::PROVENANCE_FILE;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

const DESCRIPTION_FILE: &str = "model.toml";
const NETWORKS_FILE: &str = "networks.safetensors";
const TEMPLATES_FILE: &str = "templates.safetensors";
/// The table of the training stars.
pub const STARS_FILE: &str = "training_stars.parquet";
/// How the training went, pixel by pixel.
pub const PIXELS_FILE: &str = "training_pixels.parquet";
/// Layout of `model.toml`.
const FORMAT: u32 = 1;

/// What such a folder may hold.
pub const PIXEL_FOLDER: FolderKind = FolderKind {
    name: "a model directory",
    mark: DESCRIPTION_FILE,
    files: &[DESCRIPTION_FILE, NETWORKS_FILE, TEMPLATES_FILE, STARS_FILE, PIXELS_FILE, PROVENANCE_FILE],
};

/// What is known of networks beside their weights.
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
    /// Where the gradients are from; empty for networks without physics.
    #[serde(default)]
    pub library: String,
    /// What in the library lets networks cheat.
    #[serde(default)]
    pub weaknesses: Vec<String>,
    /// Unit of the flux.
    #[serde(default)]
    pub flux_unit: String,
    /// Means over the pixels: χ² per spectrum of training and validation, the gradient term.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    #[serde(default)]
    pub goodness: Goodness,
    /// Positions of the pixels that no training spectrum had a flux for: they take no part in fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrained: Vec<usize>,
    /// What the spectra say of the errors of the labels; empty where labels were taken for exact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_errors: Vec<LabelErrors>,
    pub grid: Grid,
}

/// Trained networks.
#[derive(Debug, Clone)]
pub struct PixelPackage {
    pub card: PixelCard,
    pub networks: PixelNetworks,
    /// Labels from the most similar of which a fit begins `[T, L]`.
    pub templates: Array2<f64>,
    engine: Arc<NetworkEngine>,
    sha256: String,
}

impl PixelPackage {
    /// From its parts.
    ///
    /// # Errors
    /// When networks, grid and templates do not belong together.
    pub fn new(card: PixelCard, networks: PixelNetworks, templates: Array2<f64>) -> Result<Self> {
        if card.grid.len() != networks.n_pixels() {
            return Err(Error::model("pixel networks")
                .found(format!("{} networks", networks.n_pixels()))
                .expected(format!("{}, one for every pixel of the grid", card.grid.len())));
        }
        if templates.ncols() != networks.space.len() || templates.nrows() == 0 {
            return Err(Error::model("templates")
                .found(format!("{:?} numbers", templates.dim()))
                .expected(format!("some stars with {} labels", networks.space.len())));
        }
        check_grid(&card.grid)?;
        let is_same = |(angstrom, nm): (&f64, &f64)| (angstrom / (ANGSTROM * nm) - 1.0).abs() < 1e-9;
        if !networks.wavelength.iter().zip(&card.grid.wavelength).all(is_same) {
            return Err(Error::model("wavelengths of pixel networks")
                .found("others than those of the grid")
                .expected("the wavelengths of model.toml, in Å")
                .remedy("The folder is damaged, or two models are mixed: get it again."));
        }
        card.goodness.validate()?;
        if let Some(pixel) = card.untrained.iter().find(|&&pixel| pixel >= networks.n_pixels()) {
            return Err(Error::model("untrained").found(pixel.to_string()).expected("positions of pixels"));
        }
        let sha256 = hash(&card, &networks, &templates);
        let engine = Arc::new(NetworkEngine::new(&networks));
        Ok(Self { card, networks, templates, engine, sha256 })
    }

    /// The networks as they are evaluated.
    pub fn engine(&self) -> &Arc<NetworkEngine> {
        &self.engine
    }

    /// Writes the folder; `fill` may add to it.
    ///
    /// # Errors
    /// When it exists and `overwrite` is false, or something cannot be written.
    pub fn save(&self, directory: &Path, overwrite: bool, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        write_directory_atomically(directory, overwrite, &PIXEL_FOLDER, |folder| {
            write_member(&folder.join(DESCRIPTION_FILE), card_text(&self.card)?)?;
            self.networks.write(&folder.join(NETWORKS_FILE), false)?;
            write_labels(&folder.join(TEMPLATES_FILE), &self.networks.space, self.templates.view())?;
            fill(folder)
        })
    }
}

fn card_text(card: &PixelCard) -> Result<String> {
    toml::to_string(card).map_err(|error| Error::output(DESCRIPTION_FILE).found(error.to_string()).source(error))
}

/// Over what decides an estimate; texts, numbers of stars, metrics and names of files do not enter.
fn hash(card: &PixelCard, networks: &PixelNetworks, templates: &Array2<f64>) -> String {
    let mut hash = Sha256::new();
    let (goodness, untrained, grid) = (&card.goodness, &card.untrained, &card.grid);
    let decisive = json!({ "flux_unit": card.flux_unit, "goodness": goodness, "untrained": untrained, "grid": grid });
    hash.update(decisive.to_string());
    hash.update(format!("{:?} {:?} {:?}", networks.architecture, networks.space, networks.wavelength));
    networks.parameters.iter().for_each(|value| hash.update(value.to_le_bytes()));
    templates.iter().for_each(|value| hash.update(value.to_le_bytes()));
    hexadecimal(hash)
}

impl Package for PixelPackage {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn grid(&self) -> &Grid {
        &self.card.grid
    }

    fn parameters(&self) -> Vec<String> {
        self.networks.space.names.clone()
    }

    fn estimator(self: Arc<Self>, request: &Request) -> Result<Arc<dyn Estimator>> {
        Ok(Arc::new(PixelEstimator::new(self, request)?))
    }

    fn describe(&self) -> (String, Value) {
        let (card, space, architecture) = (&self.card, &self.networks.space, &self.networks.architecture);
        let mut text = format!("pixel networks {}\n", self.id());
        let mut line = |name: &str, value: String| {
            if !value.is_empty() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  {name:<26}{value}");
            }
        };
        line("description", card.description.clone());
        line("SHA-256", self.sha256.clone());
        line("trained by", card.program.clone());
        line("stars", format!("{} trained, {} for validation", card.n_training, card.n_validation));
        let (first, last) = (card.grid.wavelength[0], card.grid.wavelength[card.grid.len() - 1]);
        line("pixels", format!("{}, {first:.2} to {last:.2} nm", card.grid.len()));
        if card.resolution > 0.0 {
            line("resolution", card.resolution.to_string());
        }
        line("network of a pixel", format!("{:?} neurons, {}", &architecture.widths[1..], architecture.activation.name()));
        line("gradients", if card.library.is_empty() { "none: networks may cheat".into() } else { card.library.clone() });
        card.weaknesses.iter().for_each(|weakness| line("warning", weakness.clone()));
        card.label_errors.iter().filter_map(fault_of_errors).for_each(|fault| line("warning", fault));
        card.metrics.iter().for_each(|(name, value)| line(name, format!("{value:.5}")));
        text.push_str("labels\n");
        for k in 0..space.len() {
            let _ = writeln!(
                text,
                "  {:<10}{:<10}trained from {:.3} to {:.3}",
                space.names[k], space.units[k], space.minimum[k], space.maximum[k]
            );
            if let Some(errors) = card.label_errors.get(k) {
                let ratio = errors.ratio.map_or_else(|| "spectra say little".into(), |ratio| format!("{ratio:.2} of the stated"));
                let _ =
                    writeln!(text, "{:22}errors: {ratio}; taken for exact they leave {:.2} of its lines", "", errors.attenuation);
            }
        }
        let summary = json!({
            "kind": Self::KIND,
            "sha256": self.sha256,
            "model_id": self.id(),
            "card": card,
            "labels": space,
            "hidden": &architecture.widths[1..],
            "activation": architecture.activation.name(),
        });
        (text, summary)
    }
}

impl Kind for PixelPackage {
    const KIND: &'static str = "pixel_networks";

    fn load(directory: &Path, _effects: &Registry, _device: &Device) -> Result<Self> {
        let path = directory.join(DESCRIPTION_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::reading(&path, error).of_kind(crate::error::ErrorKind::Model))?;
        let card: PixelCard = toml::from_str(&text).map_err(|error| {
            Error::model(path.display().to_string())
                .found(crate::text::fault_in_toml(&text, &error))
                .remedy("The folder is damaged, or was written by another version: train the model again.")
        })?;
        if card.format != FORMAT {
            return Err(Error::model(format!("{}, format", path.display()))
                .found(card.format.to_string())
                .expected(FORMAT.to_string())
                .remedy("Use the version of the program that wrote it, or train the model again."));
        }
        let networks = PixelNetworks::read(&directory.join(NETWORKS_FILE))?;
        let templates = read_labels(&directory.join(TEMPLATES_FILE), &networks.space)?;
        Self::new(card, networks, templates).map_err(|error| error.within(directory.display()))
    }
}

impl PixelCard {
    /// A card with what the program knows by itself.
    pub fn of_grid(grid: Grid) -> Self {
        Self {
            kind: PixelPackage::KIND.into(),
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
            grid,
        }
    }
}
