//! Which estimates agree with measurements.

/// χ²_ε below which an estimate is a good one …
const GOOD: f64 = 4.0;
/// … and above which it is a bad one.
const BAD: f64 = 9.0;

/// An estimate against a measurement (Zhang et al. 2023, eq. 27).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// χ²_ε < 4.
    Good,
    /// χ²_ε > 9.
    Bad,
    /// Between them: it teaches nothing.
    Undecided,
    /// There is no measurement, or no estimate.
    Unknown,
}

impl Agreement {
    /// Of an estimate and a measurement, each with its error: χ²_ε = Δ²/(σ² + σ̂² + ε²), with a `floor` ε
    /// below which no difference matters.
    pub fn of((estimate, error): (f64, f64), measured: Option<(f64, f64)>, floor: f64) -> Self {
        let Some((value, of_measurement)) = measured else { return Self::Unknown };
        let chi_square = (estimate - value).powi(2) / (error * error + of_measurement * of_measurement + floor * floor);
        if !chi_square.is_finite() {
            Self::Unknown
        } else if chi_square < GOOD {
            Self::Good
        } else if chi_square > BAD {
            Self::Bad
        } else {
            Self::Undecided
        }
    }
}
