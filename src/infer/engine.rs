//! Which engine carries out the minimisation of a fit.

use super::options::FitOptions;
use crate::error::{Error, Result};
use crate::optimise::{Bounds, Curvature, Minimiser, Problems, Solution, minimise_in_chunks};
use crate::posterior::{Posterior, bytes_per_star, minimise_on_device};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// An engine, as options name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// `device` on an accelerator, for methods that it has. On the processor a model of the standard family
    /// (tanh emulator, extinction, distance) has an engine of its own, and others are `tensor`.
    #[default]
    Auto,
    /// Any model: flux and Jacobian as tensors; whitening, small solves and all decisions on the host, chunk
    /// by chunk on all threads.
    Tensor,
    /// Everything on the model's device, in batches that fit its memory; for methods that can
    /// ([`Minimiser::on_device`]).
    Device,
}

impl Engine {
    /// What `Auto` means for a method on a processor or an accelerator.
    fn resolved(self, method: &dyn Minimiser, on_cpu: bool) -> Self {
        match self {
            Self::Auto if !on_cpu && method.on_device().is_some() => Self::Device,
            Self::Auto => Self::Tensor,
            engine => engine,
        }
    }

    /// Checks that the engine has the method.
    pub(super) fn validate(self, method: &dyn Minimiser) -> Result<()> {
        match self {
            Self::Device if method.on_device().is_none() => Err(Error::usage("fit option engine")
                .found("'device' with a method that is not made for it")
                .expected("'auto', 'tensor', or the method 'levenberg_marquardt'")
                .remedy("Leave one of the two options out.")),
            _ => Ok(()),
        }
    }
}

/// Whether a fit with these options keeps everything on the posterior's device.
pub(super) fn is_on_device(posterior: &Posterior<'_>, options: &FitOptions) -> bool {
    options.engine.resolved(&options.optimiser, posterior.device().is_cpu()) == Engine::Device
}

/// Minimises `problem` from `start [n, P_free]` with the engine of `options` on the posterior's device. Row
/// `i` belongs to star `stars[i]` of the posterior, whose problem it is.
pub(super) fn minimise(
    posterior: &Posterior<'_>,
    problem: &dyn Problems,
    stars: &[usize],
    start: Array2<f64>,
    bounds: &Bounds,
    options: &FitOptions,
) -> Result<Solution> {
    let on_cpu = posterior.device().is_cpu();
    let method = &options.optimiser;
    match (options.engine.resolved(method, on_cpu), method.on_device()) {
        (Engine::Device, Some(method)) => {
            // A processor's caches like small batches.
            let batch = if on_cpu { options.chunk } else { batch(options.device_memory, bytes_per_star(posterior)) };
            minimise_on_device(posterior, stars, start, Some(bounds), method, batch)
        }
        _ => {
            let chunk = posterior.together(stars.len(), options.chunk);
            let mut solution = minimise_in_chunks(method, problem, start.view(), Some(bounds), chunk)?;
            let curvature = if options.exact_hessian { Curvature::Exact } else { Curvature::Differences };
            method.finish(problem, &mut solution, bounds, curvature)?;
            Ok(solution)
        }
    }
}

/// Largest batch: with it, tensors of up to 8192 numbers a star stay within the 32-bit indices of kernels.
const LARGEST_BATCH: usize = 1 << 18;

/// Stars whose data and tensors take `gibibytes` of memory.
fn batch(gibibytes: f64, bytes_per_star: usize) -> usize {
    ((gibibytes * 2.0_f64.powi(30) / bytes_per_star as f64) as usize).clamp(1, LARGEST_BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimise::{FirstOrder, Method};

    #[test]
    fn accelerators_take_their_own_engine_where_it_has_the_method() {
        let (damped, first_order) = (Method::default(), Method::FirstOrder(FirstOrder::default()));
        assert_eq!(Engine::Auto.resolved(&damped, true), Engine::Tensor);
        assert_eq!(Engine::Auto.resolved(&damped, false), Engine::Device);
        assert_eq!(Engine::Auto.resolved(&first_order, false), Engine::Tensor);
        assert_eq!(Engine::Tensor.resolved(&damped, false), Engine::Tensor);
        let options = FitOptions { engine: Engine::Device, optimiser: first_order, ..FitOptions::default() };
        assert!(options.validate().unwrap_err().to_string().contains("levenberg_marquardt"));
    }

    #[test]
    fn batches_fill_the_memory_and_are_never_empty() {
        assert_eq!(batch(4.0, 1 << 16), 1 << 16);
        assert_eq!((batch(1e-9, 1 << 16), batch(1e9, 1 << 16)), (1, LARGEST_BATCH));
    }
}
