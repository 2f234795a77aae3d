//! What a parameter is for a star: the question that rooms ask which do not know its name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The role of a parameter, declared by the effect that reads it.
///
/// Barriers, starts, limits, flags, self-cleaning, calibration and the default constraints go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// A property of the star itself, standardised by the training sample and covered by the mixture prior.
    Label,
    /// An amount that cannot be negative and in which ln flux is linear, or nearly so: a column of dust.
    Amount,
    /// A positive quantity with a power of which the flux grows, as with that of the parallax: ln flux is
    /// linear in its logarithm. A model has one at most, since two could not be told apart.
    Distance,
    /// Anything else that shapes the flux of a star and has a prior of its own, such as ξ.
    #[default]
    Shape,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Label, Self::Amount, Self::Distance, Self::Shape];

    /// The name that recipes and options may give in place of the names of all parameters of the role.
    pub fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Amount => "amount",
            Self::Distance => "distance",
            Self::Shape => "shape",
        }
    }
}

/// Model directories say whether a parameter is a label; the effects, which they name, say the rest.
pub(super) mod as_is_label {
    use super::{Deserialize, Deserializer, Role, Serialize, Serializer};

    pub fn serialize<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
        (*role == Role::Label).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
        Ok(if bool::deserialize(deserializer)? { Role::Label } else { Role::default() })
    }
}
