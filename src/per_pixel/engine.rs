//! What fits need of a model of pixels: fluxes and their derivatives, eight pixels at a time.

use super::labels::LabelSpace;
use crate::tensor::lanes::{Block, Kernel, LANES, Lanes, Portable, blocks, floats, has_avx2};
use ndarray::{Array2, Array3, ArrayView2};
use rayon::prelude::*;
use std::ops::Range;

/// Spectra that are computed together: a block's weights stay in the first-level cache for all of them. More
/// without derivatives, whose rows are fewer: weights of joint networks come from beyond the second-level
/// cache.
const GROUP: usize = 16;
const GROUP_OF_FLUXES: usize = 64;
/// Blocks of pixels that are computed for a group before the next.
pub(super) const CHUNK: usize = 32;

/// A model that gives the flux of every pixel for scaled labels. A spectrum's numbers depend on its own
/// labels alone.
pub trait PixelModel: Send + Sync {
    /// The labels and their ranges.
    fn space(&self) -> &LabelSpace;

    /// Number of pixels W.
    fn n_pixels(&self) -> usize;

    /// `[W]`, Å; empty where it is not known.
    fn wavelength(&self) -> &[f64];

    /// What all pixels share at scaled labels `[S][L]` of some spectra `[S][any number]`: computed once, for
    /// all blocks of pixels. The labels themselves, unless a model makes more of them.
    fn shared(&self, scaled: &[f32], derivatives: bool) -> Vec<f32> {
        let _ = derivatives;
        scaled.to_vec()
    }

    /// Fluxes, and with `derivatives` those by the scaled labels, of blocks of eight pixels, from what
    /// [`Self::shared`] gave with the same `derivatives`.
    ///
    /// # Shapes
    /// `out [S][1 or 1 + L][blocks]`. The model has an even number of blocks, and blocks are asked for in
    /// pairs of an even one and the next; pixels beyond the last have any finite numbers.
    fn evaluate(&self, blocks: Range<usize>, shared: &[f32], derivatives: bool, out: &mut [Block]);
}

/// Flux `[N, W]` of a model at `labels [N, L]` (in their units), on the threads of the current rayon pool.
pub fn emulate(model: &dyn PixelModel, labels: ArrayView2<f64>) -> Array2<f32> {
    let rows = evaluate_rows(model, labels, false);
    Array2::from_shape_vec((labels.nrows(), model.n_pixels()), rows).unwrap_or_default()
}

/// Flux and its derivatives by the scaled labels `[N, 1 + L, W]` of a model at `labels [N, L]` (in their
/// units).
pub fn evaluate_all(model: &dyn PixelModel, labels: ArrayView2<f64>) -> Array3<f32> {
    let rows = evaluate_rows(model, labels, true);
    Array3::from_shape_vec((labels.nrows(), 1 + model.space().len(), model.n_pixels()), rows).unwrap_or_default()
}

fn evaluate_rows(model: &dyn PixelModel, labels: ArrayView2<f64>, derivatives: bool) -> Vec<f32> {
    let scaled: Vec<f32> = model.space().scale(labels).iter().map(|value| *value as f32).collect();
    let (n_labels, w) = (model.space().len(), model.n_pixels());
    let n_rows = if derivatives { 1 + n_labels } else { 1 };
    let mut rows = vec![0.0; labels.nrows() * n_rows * w];
    let group = if derivatives { GROUP } else { GROUP_OF_FLUXES };
    rows.par_chunks_mut(group * n_rows * w).zip(scaled.par_chunks(group * n_labels)).for_each(|(rows, scaled)| {
        let shared = model.shared(scaled, derivatives);
        let mut out = vec![Block::default(); scaled.len() / n_labels * n_rows * CHUNK];
        for start in (0..whole_blocks(w)).step_by(CHUNK) {
            let range = start..(start + CHUNK).min(whole_blocks(w));
            let out = &mut out[..scaled.len() / n_labels * n_rows * range.len()];
            model.evaluate(range.clone(), &shared, derivatives, out);
            let pixels = (range.start * LANES).min(w)..(range.end * LANES).min(w);
            for (row, out) in rows.chunks_exact_mut(w).zip(out.chunks_exact(range.len())) {
                row[pixels.clone()].copy_from_slice(&floats(out)[..pixels.len()]);
            }
        }
    });
    rows
}

/// Number of blocks of a model of `n_pixels`: whole strips of sixteen.
pub(super) const fn whole_blocks(n_pixels: usize) -> usize {
    blocks(n_pixels).next_multiple_of(2)
}

/// Runs a kernel in the widest lanes that the processor has.
pub(super) fn dispatch<K: Kernel>(kernel: K) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        return crate::tensor::lanes::Avx2::apart(kernel);
    }
    let _ = has_avx2;
    Portable::apart(kernel);
}
