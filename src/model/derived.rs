//! Quantities of a star that follow from its parameters.

use std::fmt;
use std::sync::Arc;

/// From model values to a value in the file's unit.
type Function = dyn Fn(&[f64]) -> f64 + Send + Sync;

/// A function of parameters of a star, which an effect derives: a column of catalogues beside the parameters.
#[derive(Clone)]
pub struct Derived {
    /// Column name in files.
    pub name: String,
    /// Unit in files, empty for none.
    pub unit: String,
    pub description: String,
    /// Unified content descriptor, empty for none.
    pub ucd: String,
    /// Names of the parameters that it depends on.
    pub parameters: Vec<String>,
    function: Arc<Function>,
}

impl Derived {
    /// The `function` of the model values of the named `parameters`, in their order.
    pub fn new(
        name: &str,
        unit: &str,
        description: &str,
        parameters: Vec<String>,
        function: impl Fn(&[f64]) -> f64 + Send + Sync + 'static,
    ) -> Self {
        let [name, unit, description] = [name, unit, description].map(String::from);
        Self { name, unit, description, ucd: String::new(), parameters, function: Arc::new(function) }
    }

    /// The same with a content descriptor.
    pub fn with_ucd(self, ucd: &str) -> Self {
        Self { ucd: ucd.into(), ..self }
    }

    /// Its value (file unit) at model values of [`Self::parameters`].
    pub fn value(&self, model_values: &[f64]) -> f64 {
        (self.function)(model_values)
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Derived({} [{}] of {})", self.name, self.unit, self.parameters.join(", "))
    }
}
