//! The flux term: χ² = |L(f_pred − f_obs)|², its gradient, Gauss–Newton curvature and, from second-order
//! jets, the rest of the Hessian. The jet comes from the tensor engine in its precision; the sums are in f64.

use super::WhitenedFlux;
use crate::error::{Error, Result};
use crate::noise::Real;
use crate::observations::Observations;
use crate::optimise::Normal;
use crate::optimise::dense::dot;
use crate::tensor::{Element, Jet, to_host};
use ndarray::{Array2, Array3};

/// Normal equations of the flux term of several stars.
pub(super) struct FluxNormal {
    pub normal: Normal,
    /// 2 Σ (C⁻¹r)·∂²f, `[n, P, P]`: what the Gauss–Newton curvature leaves out (zero unless the jet has
    /// second derivatives).
    pub residual_curvature: Array3<f64>,
    /// What was whitened, if it was to be kept.
    pub whitened: Option<WhitenedFlux>,
}

impl FluxNormal {
    /// From a flux jet `[n, W]` of the named stars with `p` parameters; `keeps` what is whitened.
    pub fn new<T: Real + Element + std::ops::Sub<Output = T>>(
        jet: Jet,
        observations: &Observations,
        stars: &[usize],
        (p, keeps): (usize, bool),
    ) -> Result<Self> {
        let (n, w) = (stars.len(), observations.grid.len());
        // Derivatives have the parameter first, `[P, n, W]`.
        let tangents = jet.jacobian_rows(p).map(to_host::<T, 3>);
        let second = jet.second.as_ref().map(|second| (&second.keys, to_host::<T, 3>(second.widen(jet.dims()).stack)));
        let value = to_host::<T, 2>(jet.value.clone());
        if value.len() != n * w {
            return Err(Error::numerical("flux of the model")
                .found(format!("{} values", value.len()))
                .expected(format!("{}", n * w)));
        }
        let mut normal = Normal { loss: vec![0.0; n], gradient: Array2::zeros((n, p)), curvature: Array3::zeros((n, p, p)) };
        let mut residual_curvature = Array3::zeros((n, p, p));
        let mut kept = keeps.then(|| WhitenedFlux::zeros(n, p, w));
        // The residual and the columns of the Jacobian.
        let mut vectors = vec![T::default(); (1 + p) * w];
        let mut whitened = vectors.clone();
        let mut weighted = vec![T::default(); w];
        let rows = if tangents.is_some() { 1 + p } else { 1 };
        for (i, &star) in stars.iter().enumerate() {
            let observed = observations.flux.row(star);
            for ((residual, &predicted), &observed) in vectors[..w].iter_mut().zip(&value[i * w..(i + 1) * w]).zip(observed) {
                *residual = predicted - T::from(observed);
            }
            if let Some(tangents) = &tangents {
                for (column, tangents) in vectors[w..(1 + p) * w].chunks_exact_mut(w).zip(tangents.chunks_exact(n * w)) {
                    column.copy_from_slice(&tangents[i * w..(i + 1) * w]);
                }
            }
            observations.whitening.whiten(star, &vectors[..rows * w], &mut whitened[..rows * w]);
            if let Some(kept) = &mut kept {
                let single: Vec<f32> = whitened.iter().map(|&value| value.into() as f32).collect();
                let flux = value[i * w..(i + 1) * w].iter().map(|&value| value.into() as f32);
                kept.set(i, flux, |row| &single[row * w..(row + 1) * w]);
            }
            let (residual, jacobian) = whitened.split_at(w);
            normal.loss[i] = dot(residual, residual);
            if rows == 1 {
                continue;
            }
            for a in 0..p {
                let column = &jacobian[a * w..(a + 1) * w];
                normal.gradient[[i, a]] = 2.0 * dot(column, residual);
                for b in 0..=a {
                    let curvature = 2.0 * dot(column, &jacobian[b * w..(b + 1) * w]);
                    normal.curvature[[i, a, b]] = curvature;
                    normal.curvature[[i, b, a]] = curvature;
                }
            }
            if let Some((keys, second)) = &second {
                observations.whitening.transpose_whiten(star, residual, &mut weighted);
                for (&(a, b), second) in keys.iter().zip(second.chunks_exact(n * w)) {
                    let curvature = 2.0 * dot(&second[i * w..(i + 1) * w], &weighted);
                    residual_curvature[[i, a, b]] = curvature;
                    residual_curvature[[i, b, a]] = curvature;
                }
            }
        }
        Ok(Self { normal, residual_curvature, whitened: kept })
    }
}
