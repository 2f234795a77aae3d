//! The kind of a unit: exponents of the base units.

/// The base units; what follows `Radian` is no unit of physics, but not the same as a pure number either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Metre,
    Kilogram,
    Second,
    Ampere,
    Kelvin,
    Mole,
    Candela,
    Radian,
    Magnitude,
    Count,
    Electron,
    Photon,
    Pixel,
    Bit,
    Maggy,
}

const N: usize = Base::Maggy as usize + 1;

/// Exponents of the base units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dimensions([f32; N]);

impl Dimensions {
    /// Of a pure number.
    pub const NONE: Self = Self([0.0; N]);

    pub(super) const fn of(bases: &[(Base, i8)]) -> Self {
        let mut exponents = [0.0; N];
        let mut i = 0;
        while i < bases.len() {
            exponents[bases[i].0 as usize] = bases[i].1 as f32;
            i += 1;
        }
        Self(exponents)
    }

    /// Whether it is that of a pure number.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    pub(super) fn times(mut self, other: Self, exponent: f32) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += exponent * other);
        self
    }

    pub(super) fn power(self, exponent: f32) -> Self {
        Self::NONE.times(self, exponent)
    }
}
