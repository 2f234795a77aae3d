//! Fits of spectra with everything on a device: the flux of all spectra of a batch, its derivatives, and the
//! normal equations as tensors, with the Levenberg–Marquardt of [`crate::optimise`] that stays on the device.
//!
//! It begins where the processor's engine does and ends, but for rounding, at the same optimum. A search that
//! stalls (at a kink of the leaky ReLU) is the processor's, which begins again elsewhere. What is fitted
//! beside the labels is not had here, and refused by name.

mod networks;
#[cfg(test)]
mod tests;

pub(super) use networks::TensorNetworks;

use crate::error::{Error, Result};
use crate::optimise::on_device::{TensorNormal, TensorProblem};
use crate::optimise::{Bounds, LevenbergMarquardt, Solution, Status};
use crate::per_pixel::{Ending, LabelSpace, PixelModel, SpectrumFitOptions, SpectrumFits, SpectrumFitter, emulate};
use crate::tensor::cholesky::Factor as CholeskyFactor;
use crate::tensor::{Device, Factor, Indices, Precision, Tensor, to_f64, to_host};
use ndarray::{Array2, Array3, ArrayView2, Axis};

/// Most spectra in a batch: on the processor, whose caches like small ones, and elsewhere.
const LARGEST_BATCH: [usize; 2] = [32, 1 << 14];
/// Numbers of any tensor of a batch, of which kernels count in 31 bits.
const MOST_NUMBERS: usize = 1 << 30;
/// χ² in single precision does not tell steps that lower it by less than some thousandths, a twentieth of an
/// error, but its gradient does: where the undamped step from the end promises no more than this, it is
/// taken.
const SMALL_PROMISE: f64 = 0.1;
/// Scaled labels this near to a bound are at it, in single precision.
const AT_BOUND: f64 = 1e-6;

/// A model as tensors.
pub trait TensorModel: Send + Sync {
    /// Where it lies.
    fn device(&self) -> &Device;

    /// Number of labels L.
    fn n_labels(&self) -> usize;

    /// Flux `[n, W]` and its derivatives by the labels `[n, W, L]` at scaled labels `[n, L]`.
    fn evaluate(&self, scaled: Tensor<2>) -> (Tensor<2>, Tensor<3>);

    /// Numbers of all tensors that an evaluation holds at once, for each spectrum.
    fn numbers_per_star(&self) -> usize;
}

/// Makes tensors of a model on a device; none of a family that is evaluated on the processor only.
pub(super) type MakeTensors<'a> = dyn Fn(&Device) -> Option<Box<dyn TensorModel>> + 'a;

/// Fits spectra on a device.
pub(super) struct DeviceFitter {
    model: Box<dyn TensorModel>,
    space: LabelSpace,
    rule: LevenbergMarquardt,
    bounds: Bounds,
    /// Fewest pixels of a fit.
    fewest: f64,
    batch: usize,
    /// Scaled labels of the templates `[T, L]`; less than the continuum `[W, T]`, and the squares of that.
    templates: Array2<f64>,
    below: [Factor<2>; 2],
}

impl DeviceFitter {
    /// Of a model as tensors, which `engine` is on the processor, with the labels of stars from the most
    /// similar of which a fit begins.
    ///
    /// # Errors
    /// `Usage`, naming an option that fits on a device do not have.
    pub fn new(
        model: Box<dyn TensorModel>,
        engine: &dyn PixelModel,
        templates: ArrayView2<f64>,
        options: &SpectrumFitOptions,
    ) -> Result<Self> {
        options.validate()?;
        require_labels_alone(options)?;
        let space = engine.space().clone();
        let device = model.device();
        let flux = emulate(engine, templates);
        let (t, w) = flux.dim();
        let numbers = |of: fn(f32) -> f32| -> Vec<f32> { flux.t().iter().map(|flux| of(1.0 - flux)).collect() };
        let below: [Tensor<2>; 2] = [numbers(|x| x), numbers(|x| x * x)].map(|numbers| device.tensor_f32(numbers, [w, t]));
        let bytes = 4 * (model.numbers_per_star() + 4 * w);
        let [on_cpu, elsewhere] = LARGEST_BATCH;
        let largest = if device.is_cpu() { on_cpu } else { elsewhere.min(MOST_NUMBERS / model.numbers_per_star().max(1)) };
        let limit = 0.5 + options.margin;
        let usual = LevenbergMarquardt::default();
        Ok(Self {
            rule: LevenbergMarquardt {
                max_iterations: options.iterations as u32,
                initial_damping: 1e-3,
                decrease_tolerance: options.tolerance,
                // Of one label alone no more than that of all.
                gradient_tolerance: (2.0 * options.tolerance).sqrt(),
                loss_precision: match device.precision() {
                    Precision::Single => usual.loss_precision,
                    Precision::Double => 1e-12,
                },
                ..usual
            },
            bounds: Bounds { lower: vec![-limit; space.len()], upper: vec![limit; space.len()] },
            fewest: options.pixels_per_label * space.len() as f64,
            batch: ((options.device_memory * 2.0_f64.powi(30) / bytes as f64) as usize).clamp(1, largest.max(1)),
            templates: space.scale(templates).mapv(|value| value.clamp(-0.5, 0.5)),
            below: below.map(Factor::new),
            model,
            space,
        })
    }

    /// Fits `flux [N, W]` with `inverse_variance [N, W]`, as [`SpectrumFitter::fit`] does, or from `starts
    /// [N, L]` (in the labels' units; where one is not finite, from the most similar template). What stalls
    /// here is left to the `processor`.
    ///
    /// # Errors
    /// When shapes are not those of the model, or the device fails.
    pub fn fit(
        &self,
        flux: ArrayView2<f32>,
        inverse_variance: ArrayView2<f32>,
        starts: Option<ArrayView2<f64>>,
        processor: &SpectrumFitter,
    ) -> Result<SpectrumFits> {
        let (n, l) = (flux.nrows(), self.space.len());
        if inverse_variance.dim() != flux.dim() || starts.as_ref().is_some_and(|starts| starts.dim() != (n, l)) {
            return Err(Error::data("spectra to be fitted")
                .found(format!("fluxes {:?}, inverse variances {:?}", flux.dim(), inverse_variance.dim()))
                .expected(format!("as many of both, and {l} labels of each where starts are given")));
        }
        let is_good = |at: (usize, usize)| {
            let weight = inverse_variance[at];
            weight > 0.0 && weight.is_finite() && flux[at].is_finite()
        };
        let n_pixels: Vec<usize> = (0..n).map(|i| (0..flux.ncols()).filter(|&w| is_good((i, w))).count()).collect();
        let mut fits = SpectrumFits {
            labels: Array2::from_elem((n, l), f64::NAN),
            nuisances: Array2::zeros((n, 0)),
            covariance: Array3::from_elem((n, l, l), f64::NAN),
            chi_square: vec![f64::NAN; n],
            n_iterations: vec![0; n],
            endings: vec![Ending::TooFewPixels; n],
            at_bound: vec![false; n],
            n_pixels,
        };
        let enough: Vec<usize> = (0..n).filter(|&i| fits.n_pixels[i] as f64 >= self.fewest).collect();
        let mut stalled = Vec::new();
        for stars in enough.chunks(self.batch) {
            let of = |values: ArrayView2<f32>| {
                Array2::from_shape_fn((stars.len(), flux.ncols()), |(i, w)| {
                    if is_good((stars[i], w)) { values[[stars[i], w]] } else { 0.0 }
                })
            };
            let batch = Batch::upload(self.model.as_ref(), of(flux), of(inverse_variance));
            let nearest = self.nearest(&batch);
            let scaled = starts.map(|starts| self.space.scale(starts.select(Axis(0), stars).view()));
            let start = Array2::from_shape_fn((stars.len(), l), |(i, k)| match &scaled {
                Some(scaled) if scaled.row(i).iter().all(|value| value.is_finite()) => scaled[[i, k]].clamp(-0.5, 0.5),
                _ => self.templates[[nearest[i], k]],
            });
            let solution = self.rule.minimise_on_device(&batch, start, Some(&self.bounds))?;
            stalled.extend(self.collect(stars, &batch, &solution, &mut fits)?);
        }
        if !stalled.is_empty() {
            let rows = |values: ArrayView2<f32>| values.select(Axis(0), &stalled);
            let (flux, weight) = (rows(flux), rows(inverse_variance));
            let again = match starts {
                Some(starts) => processor.fit_from(flux.view(), weight.view(), starts.select(Axis(0), &stalled).view())?,
                None => processor.fit(flux.view(), weight.view())?,
            };
            for (from, &to) in stalled.iter().enumerate() {
                fits.labels.row_mut(to).assign(&again.labels.row(from));
                fits.covariance.index_axis_mut(Axis(0), to).assign(&again.covariance.index_axis(Axis(0), from));
                fits.chi_square[to] = again.chi_square[from];
                fits.n_iterations[to] += again.n_iterations[from];
                (fits.endings[to], fits.at_bound[to]) = (again.endings[from], again.at_bound[from]);
            }
        }
        Ok(fits)
    }

    /// The most similar template of every spectrum, by χ²: that of what is below the continuum, which loses
    /// less in single precision than that of the flux.
    fn nearest(&self, batch: &Batch) -> Vec<usize> {
        let below = (batch.flux.clone().neg() + 1.0) * batch.weight.clone();
        let [lines, squares] = &self.below;
        let chi_square = squares.product(batch.weight.clone()) - lines.product(below) * 2.0;
        let found: Vec<f32> = to_host(chi_square);
        let least = |row: &[f32]| row.iter().enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(index, _)| index);
        found.chunks_exact(self.templates.nrows()).map(least).collect()
    }

    /// Puts what was found of `stars`; those that are to be fitted elsewhere are returned.
    fn collect(&self, stars: &[usize], batch: &Batch, solution: &Solution, fits: &mut SpectrumFits) -> Result<Vec<usize>> {
        let l = self.space.len();
        let device = self.model.device();
        let flat: Vec<f64> = solution.coordinates.iter().copied().collect();
        let normal = batch.normal_equations(device.tensor(&flat, [stars.len(), l]))?;
        let (matrices, gradients, loss) = (to_f64(normal.curvature), to_f64(normal.gradient), to_f64(normal.loss));
        let mut factor = CholeskyFactor::new(l);
        let mut stalled = Vec::new();
        for (row, &i) in stars.iter().enumerate() {
            fits.n_iterations[i] = solution.n_iterations[row] as usize;
            fits.endings[i] = match solution.status[row] {
                Status::Converged | Status::AtBound => Ending::Converged,
                Status::IterationLimit => Ending::Unfinished,
                _ => {
                    stalled.push(i);
                    continue;
                }
            };
            fits.chi_square[i] = loss[row];
            let scaled = solution.coordinates.row(row);
            fits.at_bound[i] = scaled.iter().zip(&self.bounds.upper).any(|(x, limit)| x.abs() >= limit - AT_BOUND);
            // Half the curvature of χ².
            let fisher: Vec<f64> = matrices[row * l * l..(row + 1) * l * l].iter().map(|value| 0.5 * value).collect();
            let is_solvable = factor.decompose(&fisher, &vec![0.0; l]);
            let mut step = vec![0.0; l];
            if is_solvable && !fits.at_bound[i] && fits.endings[i] == Ending::Converged {
                step.iter_mut().zip(&gradients[row * l..]).for_each(|(step, slope)| *step = -0.5 * slope);
                let slopes = step.clone();
                factor.solve(&mut step);
                let promise: f64 = step.iter().zip(slopes).map(|(step, slope)| step * slope).sum();
                let stays = |k: usize| (scaled[k] + step[k]).abs() < self.bounds.upper[k];
                let is_small = promise < SMALL_PROMISE && (0..l).all(stays);
                if !is_small {
                    step.fill(0.0);
                }
            }
            for k in 0..l {
                fits.labels[[i, k]] = (scaled[k] + step[k] + 0.5) * self.space.width(k) + self.space.minimum[k];
            }
            if !is_solvable {
                continue;
            }
            for k in 0..l {
                let mut column = vec![0.0; l];
                column[k] = 1.0;
                factor.solve(&mut column);
                for (j, value) in column.into_iter().enumerate() {
                    fits.covariance[[i, j, k]] = value * self.space.width(j) * self.space.width(k);
                }
            }
        }
        Ok(stalled)
    }
}

/// Fails where something beside the labels is to be fitted.
fn require_labels_alone(options: &SpectrumFitOptions) -> Result<()> {
    let asked = [
        ("velocity", options.velocity),
        ("continuum_terms", options.continuum_terms > 0),
        ("rotation", options.rotation),
        ("broadening", options.broadening),
        ("windows_of", !options.windows_of.is_empty()),
    ];
    match asked.into_iter().find(|(_, is_asked)| *is_asked) {
        None => Ok(()),
        Some((option, _)) => Err(Error::usage(format!("fit option {option}"))
            .found("it with a fit on a device, which fits labels alone")
            .expected("the processor's engine")
            .remedy("Leave --device out, write `engine = \"processor\"` in the options of the fit, or leave the option out.")),
    }
}

/// Spectra on the device of a model.
struct Batch<'a> {
    model: &'a dyn TensorModel,
    /// `[n, W]`, 0 where a pixel is missing.
    flux: Tensor<2>,
    weight: Tensor<2>,
}

impl<'a> Batch<'a> {
    fn upload(model: &'a dyn TensorModel, flux: Array2<f32>, weight: Array2<f32>) -> Self {
        let (n, w) = flux.dim();
        let tensor = |values: Array2<f32>| model.device().tensor_f32(values.iter().copied().collect(), [n, w]);
        Self { model, flux: tensor(flux), weight: tensor(weight) }
    }
}

impl TensorProblem for Batch<'_> {
    fn device(&self) -> &Device {
        self.model.device()
    }

    fn n_problems(&self) -> usize {
        self.flux.dims()[0]
    }

    fn n_parameters(&self) -> usize {
        self.model.n_labels()
    }

    /// χ², its gradient, and twice JᵀWJ.
    fn normal_equations(&self, coordinates: Tensor<2>) -> Result<TensorNormal> {
        let (flux, slopes) = self.model.evaluate(coordinates);
        let n = self.n_problems();
        let residual = flux - self.flux.clone();
        let loss = (residual.clone() * residual.clone() * self.weight.clone()).sum_dim(1).reshape([n]);
        let (matrix, gradient) = networks::products(slopes, self.weight.clone(), residual);
        Ok(TensorNormal { loss, gradient: gradient * 2.0, curvature: matrix * 2.0 })
    }

    fn select(&self, problems: &Indices) -> Self {
        let select = |tensor: &Tensor<2>| tensor.clone().select(0, problems.clone());
        Self { model: self.model, flux: select(&self.flux), weight: select(&self.weight) }
    }
}
