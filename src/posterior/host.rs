//! The terms of −2 ln P that need no tensor: constraints, Gaussian priors, the mixture prior, that of the
//! labels of a second star, and the Jacobians of positive parameters. In f64, star by star.

use crate::error::Result;
use crate::model::{Parameter, ParameterSpace, Transform};
use crate::observations::{Constraint, Observations};
use crate::prior::{Coordinate, GaussianConstraint, GaussianMixture, MixtureWork, Term, positivity};

/// Which terms besides the flux enter −2 ln P.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// Parameters whose measured values enter as ((x − x̂)/σ)².
    pub constraints: &'a [String],
    /// The mixture prior of the labels.
    pub mixture: Option<&'a GaussianMixture>,
    /// Whether −2 ln x is added for every parameter moved as a logarithm: the Jacobian of a flat prior on
    /// x > 0. Without it the prior is flat in ln x.
    pub jacobians: bool,
}

/// What measurements and the model itself say of one parameter.
pub(super) struct ParameterTerms<'a> {
    pub parameter: &'a Parameter,
    measured: Option<&'a Constraint>,
    prior: Option<GaussianConstraint>,
    /// Whether −2 ln x is added.
    pub jacobian: bool,
}

pub(super) struct HostTerms<'a> {
    pub parameters: Vec<ParameterTerms<'a>>,
    /// The mixture with the positions of its parameters.
    pub mixture: Option<(&'a GaussianMixture, Vec<usize>)>,
    /// Densities of other labels, with the positions of their parameters and the sign with which they enter.
    others: Vec<(GaussianMixture, Vec<usize>, f64)>,
}

/// Working memory for the terms of one star at a time.
pub(super) struct HostWork {
    /// Place of every parameter among the free ones.
    columns: Vec<Option<usize>>,
    mixture: DensityWork,
    others: Vec<DensityWork>,
    /// Whether a label of a mixture is free.
    moves_mixture: bool,
}

/// Working memory for one density of labels.
#[derive(Default)]
struct DensityWork {
    labels: Vec<f64>,
    gradient: Vec<f64>,
    curvature: Vec<f64>,
    sums: MixtureWork,
}

impl DensityWork {
    fn new(mixture: &GaussianMixture) -> Self {
        let n = mixture.parameters().len();
        Self { labels: vec![0.0; n], gradient: vec![0.0; n], curvature: vec![0.0; n * n], sums: mixture.work() }
    }

    /// −2 ln p of the labels that are set, with its derivatives.
    fn loss(&mut self, mixture: &GaussianMixture) -> f64 {
        self.gradient.fill(0.0);
        self.curvature.fill(0.0);
        mixture.add_loss(&self.labels, &mut self.gradient, &mut self.curvature, &mut self.sums)
    }
}

/// Where the sums of one star go: `gradient [F]` and `curvature [F, F]` of the free parameters.
pub(super) struct Sums<'a> {
    pub loss: &'a mut f64,
    pub gradient: &'a mut [f64],
    pub curvature: &'a mut [f64],
}

impl<'a> HostTerms<'a> {
    pub fn new(space: &'a ParameterSpace, observations: &'a Observations, terms: &Terms<'a>) -> Result<Self> {
        let mut parameters: Vec<ParameterTerms<'a>> = space
            .parameters
            .iter()
            .map(|parameter| {
                let prior =
                    parameter.prior.map(|prior| GaussianConstraint::new(prior.mean, prior.standard_deviation)).transpose()?;
                let jacobian = terms.jacobians && parameter.transform == Transform::Logarithm;
                Ok(ParameterTerms { parameter, measured: None, prior, jacobian })
            })
            .collect::<Result<_>>()?;
        for name in terms.constraints {
            parameters[space.position(name)?].measured = observations.constraints.get(name);
        }
        let mixture = match terms.mixture {
            None => None,
            Some(mixture) => {
                let positions = mixture.parameters().iter().map(|name| space.position(name)).collect::<Result<Vec<usize>>>()?;
                Some((mixture, positions))
            }
        };
        Ok(Self { parameters, mixture, others: Vec::new() })
    }

    /// Puts other measurements of a parameter in place of those of the observations.
    pub fn set_measured(&mut self, position: usize, measured: &'a Constraint) {
        self.parameters[position].measured = Some(measured);
    }

    /// Adds −2 ln p(Θ₂ | labels shared with Θ₁), the prior of the labels of a second star: `second` has the
    /// positions of the parameters of `mixture` for that star, of which those in `shared` are the first
    /// star's.
    ///
    /// # Errors
    /// When the density of the shared ones alone cannot be made.
    pub fn add_second_star(&mut self, mixture: &GaussianMixture, second: Vec<usize>, shared: &[usize]) -> Result<()> {
        let in_common: Vec<usize> = (0..second.len()).filter(|place| shared.contains(&second[*place])).collect();
        let names: Vec<String> = in_common.iter().map(|&place| mixture.parameters()[place].clone()).collect();
        let of_shared = mixture.marginal(&names)?;
        let positions = in_common.iter().map(|&place| second[place]).collect();
        self.others.push((mixture.clone(), second, 1.0));
        self.others.extend(of_shared.map(|mixture| (mixture, positions, -1.0)));
        Ok(())
    }

    /// Working memory for sums over the `free` parameters.
    pub fn work(&self, free: &[usize]) -> HostWork {
        let columns = (0..self.parameters.len()).map(|p| free.iter().position(|&free| free == p)).collect();
        let of_first = self.mixture.iter().flat_map(|(_, positions)| positions);
        let mut moving = of_first.chain(self.others.iter().flat_map(|(_, positions, _)| positions));
        HostWork {
            columns,
            moves_mixture: moving.any(|position| free.contains(position)),
            mixture: self.mixture.as_ref().map_or_else(DensityWork::default, |(mixture, _)| DensityWork::new(mixture)),
            others: self.others.iter().map(|(mixture, _, _)| DensityWork::new(mixture)).collect(),
        }
    }

    /// Sum of the terms for a star at all its coordinates.
    pub fn loss(&self, star: usize, coordinates: &[f64], work: &mut HostWork) -> f64 {
        let mut loss: f64 = self.parameters.iter().zip(coordinates).map(|(terms, &u)| terms.term(star, u, false).loss).sum();
        if let Some((mixture, positions)) = &self.mixture {
            // With derivatives it is one vectorised pass; without, a slow one.
            self.set_labels(positions, coordinates, &mut work.mixture);
            loss += work.mixture.loss(mixture);
        }
        for ((mixture, positions, sign), work) in self.others.iter().zip(&mut work.others) {
            self.set_labels(positions, coordinates, work);
            loss += sign * work.loss(mixture);
        }
        loss
    }

    /// Adds gradient and curvature (positive semi-definite) for the free parameters of `work`, without what
    /// does not change with them; the loss that is added is only a part.
    pub fn add_slopes(&self, star: usize, coordinates: &[f64], work: &mut HostWork, sums: Sums<'_>) {
        match work.moves_mixture {
            true => self.add(star, coordinates, false, work, sums),
            false => self.add_parameters(star, coordinates, false, work, sums),
        }
    }

    fn add_parameters(&self, star: usize, coordinates: &[f64], exact: bool, work: &HostWork, sums: Sums<'_>) {
        let n = sums.gradient.len();
        for (position, (terms, &u)) in self.parameters.iter().zip(coordinates).enumerate() {
            let term = terms.term(star, u, exact);
            *sums.loss += term.loss;
            if let Some(a) = work.columns[position] {
                sums.gradient[a] += term.gradient;
                sums.curvature[a * n + a] += term.curvature;
            }
        }
    }

    /// Adds loss, gradient and curvature (positive semi-definite, or the exact Hessian when `exact`) for the
    /// free parameters of `work`.
    pub fn add(&self, star: usize, coordinates: &[f64], exact: bool, work: &mut HostWork, sums: Sums<'_>) {
        let Sums { loss, gradient, curvature } = sums;
        self.add_parameters(star, coordinates, exact, work, Sums { loss, gradient, curvature });
        let HostWork { columns, mixture: of_mixture, others, .. } = work;
        let columns: &[Option<usize>] = columns;
        if let Some((mixture, positions)) = &self.mixture {
            let sums = Sums { loss, gradient, curvature };
            self.add_density((mixture, positions, 1.0), coordinates, exact, (columns, of_mixture), sums);
        }
        for ((mixture, positions, sign), work) in self.others.iter().zip(others) {
            let sums = Sums { loss, gradient, curvature };
            self.add_density((mixture, positions, *sign), coordinates, exact, (columns, work), sums);
        }
    }

    /// Adds the terms of one density of labels, times its sign. The curvature of one that is taken off would
    /// not be positive: it is left out where it need not be exact.
    fn add_density(
        &self,
        (mixture, positions, sign): (&GaussianMixture, &[usize], f64),
        coordinates: &[f64],
        exact: bool,
        (columns, work): (&[Option<usize>], &mut DensityWork),
        sums: Sums<'_>,
    ) {
        let (n, k) = (sums.gradient.len(), positions.len());
        self.set_labels(positions, coordinates, work);
        *sums.loss += sign * work.loss(mixture);
        if exact {
            mixture.ln_density_hessian(&work.labels, &mut work.curvature);
            work.curvature.iter_mut().for_each(|element| *element *= -2.0);
        }
        let bends = exact || sign > 0.0;
        for (i, &left) in positions.iter().enumerate() {
            let Some(a) = columns[left] else { continue };
            let left = sign * self.parameters[left].parameter.model_value_slope(coordinates[left]);
            sums.gradient[a] += work.gradient[i] * left;
            for (j, &right) in positions.iter().enumerate().filter(|_| bends) {
                let Some(b) = columns[right] else { continue };
                let right = self.parameters[right].parameter.model_value_slope(coordinates[right]);
                sums.curvature[a * n + b] += work.curvature[i * k + j] * left * right;
            }
        }
    }

    /// Σ 1/σ² of the measurements and Gaussian priors of a parameter (model units).
    pub fn information(&self, star: usize, position: usize) -> f64 {
        let terms = &self.parameters[position];
        terms.measurement(star).into_iter().chain(terms.prior).map(|gaussian| gaussian.information()).sum()
    }

    fn set_labels(&self, positions: &[usize], coordinates: &[f64], work: &mut DensityWork) {
        for (label, &position) in work.labels.iter_mut().zip(positions) {
            *label = self.parameters[position].parameter.model_value(coordinates[position]);
        }
    }
}

impl ParameterTerms<'_> {
    /// Measured value and error (model units) of a star, if its constraint enters.
    pub fn measured(&self, star: usize) -> Option<(f64, f64)> {
        let factor = self.parameter.model_units_per_file_unit;
        let (value, error) = self.measured?.get(star)?;
        Some((value * factor, error * factor))
    }

    /// The same as a constraint. Impossible errors were taken out and flagged when the observations were
    /// read.
    fn measurement(&self, star: usize) -> Option<GaussianConstraint> {
        let (value, error) = self.measured(star)?;
        GaussianConstraint::new(value, error).ok()
    }

    /// The terms at coordinate `u`; their curvature is exact or positive semi-definite.
    fn term(&self, star: usize, u: f64, exact: bool) -> Term {
        let mut sum = Term::default();
        let measurement = self.measurement(star);
        if measurement.is_none() && self.prior.is_none() && !self.jacobian {
            return sum;
        }
        let logarithmic = self.parameter.transform == Transform::Logarithm;
        let value = self.parameter.model_value(u);
        // d exp(c + s u)/du = s·exp(c + s u).
        let derivative = if logarithmic { self.parameter.scale * value } else { self.parameter.scale };
        for gaussian in measurement.into_iter().chain(self.prior) {
            let term = gaussian.term(Coordinate { value, derivative });
            let bend = if exact && logarithmic { term.gradient * self.parameter.scale } else { 0.0 };
            sum.loss += term.loss;
            sum.gradient += term.gradient;
            sum.curvature += term.curvature + bend;
        }
        if self.jacobian {
            let term = positivity(self.parameter.centre + self.parameter.scale * u);
            sum.loss += term.loss;
            sum.gradient += term.gradient * self.parameter.scale;
            sum.curvature += if exact { 0.0 } else { term.curvature * self.parameter.scale.powi(2) };
        }
        sum
    }
}
