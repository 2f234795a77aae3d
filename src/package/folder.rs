//! What the folder of a model may hold.

use crate::table::FolderKind;

/// The folder of a model of any kind: `--overwrite` may replace one of another kind too. All files that kinds
/// write are listed, so that a folder with anything else in it is left alone.
pub const MODEL_FOLDER: FolderKind = FolderKind {
    name: "a model directory",
    mark: "model.toml",
    files: &[
        "model.toml",
        "provenance.json",
        "training.json",
        "training_stars.parquet",
        // Forward models and regressions.
        "weights.safetensors",
        "prior.toml",
        "confidence.json",
        "comparison.md",
        // Models of spectra.
        "networks.safetensors",
        "polynomials.safetensors",
        "network.safetensors",
        "templates.safetensors",
        "training_pixels.parquet",
    ],
};
