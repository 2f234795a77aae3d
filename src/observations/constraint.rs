//! Measured values of a parameter: value ± error per star.

/// Value and 1σ error of one parameter for every star; an infinite error means that there is no measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    value: Vec<f64>,
    error: Vec<f64>,
}

impl Constraint {
    /// From values and errors `[N]`. A value or an error that is not a number or not finite is no
    /// measurement. Reported in the second result `[N]` are an infinite value and an error that is zero or
    /// negative, which [`crate::quantity::Quantity::read`] also makes of what is beyond reason.
    pub fn new(value: Vec<f64>, error: Vec<f64>) -> (Self, Vec<bool>) {
        let bad: Vec<bool> = value.iter().zip(&error).map(|(v, e)| v.is_infinite() || v.is_finite() && *e <= 0.0).collect();
        let usable = |v: f64, e: f64| v.is_finite() && e.is_finite() && e > 0.0;
        let error = value.iter().zip(error).map(|(&v, e)| if usable(v, e) { e } else { f64::INFINITY }).collect();
        (Self { value, error }, bad)
    }

    /// The values and the errors of all stars, each `[N]`.
    pub fn values_and_errors(&self) -> (&[f64], &[f64]) {
        (&self.value, &self.error)
    }

    /// Value and error of a star, if it was measured.
    pub fn get(&self, star: usize) -> Option<(f64, f64)> {
        let (value, error) = (self.value[star], self.error[star]);
        error.is_finite().then_some((value, error))
    }

    /// The given stars, in the given order.
    pub fn select(&self, stars: &[usize]) -> Self {
        let pick = |values: &[f64]| stars.iter().map(|&star| values[star]).collect();
        Self { value: pick(&self.value), error: pick(&self.error) }
    }

    /// Adds the values of more stars.
    pub(super) fn append(&mut self, more: Self) {
        self.value.extend(more.value);
        self.error.extend(more.error);
    }

    /// The same constraint with `offset` added to every value (a parallax zero-point, say).
    pub fn shifted(mut self, offset: f64) -> Self {
        self.value.iter_mut().for_each(|value| *value += offset);
        self
    }
}
