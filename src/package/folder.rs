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
        "training_history.parquet",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::per_pixel::{JointNetwork, PixelNetworks, PixelPolynomials};
    use crate::pixel_networks::{HISTORY_FILE, PIXELS_FILE, SpectralModel};
    use crate::train::{PRIOR_FILE, PROVENANCE_FILE, STARS_FILE};

    #[test]
    fn files_of_all_kinds_are_listed() {
        let of_spectra = [PixelNetworks::FILE, PixelPolynomials::FILE, JointNetwork::FILE, PIXELS_FILE, HISTORY_FILE];
        let of_others = [PRIOR_FILE, PROVENANCE_FILE, STARS_FILE, crate::confidence::CONFIDENCE_FILE];
        for file in of_spectra.into_iter().chain(of_others) {
            assert!(MODEL_FOLDER.files.contains(&file), "{file}");
        }
    }
}
