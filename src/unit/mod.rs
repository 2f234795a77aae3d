//! Units as files spell them: a text becomes a [`Unit`], and two units of the same kind a [`Conversion`].
//!
//! Understood are the spellings of VOUnit, FITS, astropy and CDS that astronomers write for the columns read
//! here, a few of the archives' own (`log cgs`, `1E-17 erg/cm^2/s/Ang`), and upper case where a file shouts.
//! `A` is the ångström: no column here is a current. Square brackets and `log(…)` are decadic logarithms
//! (CDS), as is `dex(…)`.
//!
//! A leaf: it knows neither columns nor quantities (see [`crate::quantity`]).

mod atoms;
mod dimensions;
mod lexer;
mod parse;
#[cfg(test)]
mod spellings;

pub use dimensions::Dimensions;
pub use parse::{Unknown, parse};

/// A unit: a factor in front of a product of base units, and the scale on which the number counts it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// In base units (m, kg, s, K, rad …; magnitudes, counts, electrons … are base units of their own).
    pub factor: f64,
    pub dimensions: Dimensions,
    pub scale: Scale,
}

/// What a number in a unit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A multiple of the unit.
    Linear,
    /// The decadic logarithm of such a multiple; a bare `dex` is one of a pure number.
    Decadic,
    /// A magnitude that says which flux has magnitude zero.
    Magnitude(ZeroPoint),
    /// A multiple counted from another zero: a temperature in °C or °F.
    Shifted(Zero),
}

/// Where a scale has its zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    Celsius,
    Fahrenheit,
}

impl Zero {
    /// What is added to a number to count from the unit's own zero.
    fn shift(self) -> f64 {
        match self {
            Self::Celsius => 273.15,
            Self::Fahrenheit => 459.67,
        }
    }
}

/// The zero-point that a magnitude's unit states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroPoint {
    /// 3631 Jy (`mag(AB)`, `ABmag`).
    Ab,
    /// 3.63e-9 erg/s/cm²/Å (`mag(ST)`).
    St,
    /// Vega (`mag(Vega)`).
    Vega,
    /// A luminosity or another physical unit (`mag(Bol)`, `mag(ct/s)`).
    Other,
}

/// Value in the new unit = `factor` · value + `offset`; an error takes the factor alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    pub factor: f64,
    pub offset: f64,
}

impl Conversion {
    /// Nothing changes.
    pub const IDENTITY: Self = Self { factor: 1.0, offset: 0.0 };

    /// A value in the new unit.
    pub fn value(self, value: f64) -> f64 {
        self.factor * value + self.offset
    }

    /// Whether nothing changes.
    pub fn is_identity(self) -> bool {
        self == Self::IDENTITY
    }
}

impl Unit {
    /// A pure number.
    pub const ONE: Self = Self { factor: 1.0, dimensions: Dimensions::NONE, scale: Scale::Linear };

    /// Whether it is a pure number without a factor.
    pub fn is_one(&self) -> bool {
        self.scale == Scale::Linear && self.dimensions.is_none() && snapped(self.factor) == 1.0
    }

    /// The zero-point that a magnitude states.
    pub fn zero_point(&self) -> Option<ZeroPoint> {
        match self.scale {
            Scale::Magnitude(zero_point) => Some(zero_point),
            Scale::Linear | Scale::Decadic | Scale::Shifted(_) => None,
        }
    }

    /// What is added to a number in this unit to count from the unit's own zero.
    fn shift(&self) -> f64 {
        match self.scale {
            Scale::Shifted(zero) => zero.shift(),
            Scale::Linear | Scale::Decadic | Scale::Magnitude(_) => 0.0,
        }
    }

    /// The unit of a product of two quantities in this unit; none for logarithms and for what counts from
    /// another zero.
    pub fn squared(&self) -> Option<Self> {
        let Self { factor, dimensions, scale } = *self;
        (scale == Scale::Linear).then(|| Self { factor: factor * factor, dimensions: dimensions.power(2.0), scale })
    }

    /// The unit of the inverse of such a product: that of inverse variances.
    pub fn inverse_squared(&self) -> Option<Self> {
        let Self { factor, dimensions, scale } = *self;
        (scale == Scale::Linear).then(|| Self { factor: factor.powi(-2), dimensions: dimensions.power(-2.0), scale })
    }

    /// How a number in this unit becomes one in `to`; none where the two do not measure the same.
    ///
    /// A pure number may stand for a logarithm, which many files call dimensionless, and a bare `dex` for the
    /// logarithm of anything. Zero-points of magnitudes are the caller's to compare.
    pub fn conversion(&self, to: &Self) -> Option<Conversion> {
        let scaled = || {
            let factor = snapped(self.factor / to.factor);
            Conversion { factor, offset: factor * self.shift() - to.shift() }
        };
        let same_dimensions = self.dimensions == to.dimensions;
        let is_bare = |unit: &Self| unit.dimensions.is_none() && snapped(unit.factor) == 1.0;
        match (self.scale, to.scale) {
            (Scale::Decadic, Scale::Decadic) if is_bare(self) || is_bare(to) => Some(Conversion::IDENTITY),
            (Scale::Decadic, Scale::Decadic) => {
                same_dimensions.then(|| Conversion { factor: 1.0, offset: rounded(snapped(self.factor / to.factor).log10()) })
            }
            (Scale::Decadic, Scale::Linear) => is_bare_linear(to).then_some(Conversion::IDENTITY),
            (Scale::Linear, Scale::Decadic) => is_bare_linear(self).then_some(Conversion::IDENTITY),
            (Scale::Decadic, _) | (_, Scale::Decadic) => None,
            (_, _) => same_dimensions.then(scaled),
        }
    }
}

fn is_bare_linear(unit: &Unit) -> bool {
    unit.is_one()
}

/// How numbers in the unit `from` become numbers in the unit `to`; none where one is not understood or they
/// do not measure the same.
pub fn conversion(from: &str, to: &str) -> Option<Conversion> {
    parse(from).ok()?.conversion(&parse(to).ok()?)
}

/// The factor between two units whose numbers are proportional.
pub fn factor(from: &str, to: &str) -> Option<f64> {
    conversion(from, to).filter(|conversion| conversion.offset == 0.0).map(|conversion| conversion.factor)
}

/// Whether a file's unit text says that there is none.
pub fn is_absent(text: &str) -> bool {
    let words = ["", "-", "--", "---", "none", "null", "n/a", "unitless", "dimensionless", "no unit"];
    words.contains(&text.trim().to_ascii_lowercase().as_str())
}

/// The unit that a file states, where it states one that is understood.
pub fn understood(text: &str) -> Option<&str> {
    let text = text.trim();
    (!is_absent(text) && parse(text).is_ok()).then_some(text)
}

/// A ratio of factors without the rounding of their products: a power of ten where it is one but for that.
fn snapped(ratio: f64) -> f64 {
    let exponent = ratio.log10().round();
    if !(-300.0..300.0).contains(&exponent) {
        return ratio;
    }
    // Read as a literal, a power of ten is the nearest number to it; a product of powers is not.
    let power = format!("1e{exponent}").parse().unwrap_or(ratio);
    if (ratio / power - 1.0).abs() < 1e-12 { power } else { ratio }
}

/// A whole number where it is one but for rounding.
fn rounded(value: f64) -> f64 {
    if (value - value.round()).abs() < 1e-12 { value.round() } else { value }
}
