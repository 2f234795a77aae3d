//! What an effect does to the flux, as data: for engines that have a kernel of their own for the common
//! effects.

/// One effect of the standard family, whose product is f = ϖ² exp(y(Θ) − E·R(λ; ξ)). Names are those of
/// parameters and weights.
#[derive(Debug, Clone, PartialEq)]
pub enum ClosedForm {
    /// ln f += y(z): a tanh network with a linear last layer over standardised labels.
    Network {
        labels: Vec<String>,
        /// Kernel `[inputs, outputs]` and bias `[outputs]` of every layer.
        layers: Vec<[String; 2]>,
        /// Whether the labels are concatenated to the input of every layer after the first.
        skip_connections: bool,
    },
    /// ln f −= E·exp(b(λ) + tanh(ξ)·s(λ)).
    Dust {
        amount: String,
        /// b `[W]`.
        ln_curve: String,
        /// ξ, s `[W]` and the factor (0 or 1) of s per wavelength.
        variation: Option<(String, String, Vec<f64>)>,
    },
    /// f += the flux that the network makes of other labels, between network and dust: of every label that
    /// is another one, its name and that of the parameter in its place.
    SecondStar { replaced: Vec<(String, String)> },
    /// f *= ϖ².
    Distance { parallax: String },
}
