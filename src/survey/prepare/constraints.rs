//! Values with errors (parallax, labels, extinction) for the observation file.

use super::{Note, PrepareRecipe};
use crate::error::{Error, Result};
use crate::quantity::{Facts, say_other_capitals};
use crate::table::{Column, ColumnSchema, Table};

/// A quantity that becomes a constraint.
struct Quantity {
    name: String,
    note: Note,
    /// Added to the values.
    offset: f64,
    required: bool,
}

/// Takes parallax, labels and extinction out of the joined columns, which are in their units. Zero and
/// negative values stay; a value that is infinite (beyond reason), or whose error is not finite and positive,
/// is missing and noted.
///
/// # Errors
/// When a label's or an error's column is absent or not numeric.
pub(in crate::survey) fn take(recipe: &PrepareRecipe, stars: &mut Table, notes: &mut [i32]) -> Result<Vec<Column>> {
    let parallax = Quantity {
        name: "parallax".into(),
        note: Note::ParallaxInvalid,
        offset: recipe.parallax_zero_point,
        required: recipe.parallax_zero_point != 0.0,
    };
    let extinction = Quantity { name: "extinction".into(), note: Note::ExtinctionInvalid, offset: 0.0, required: false };
    let label = |name: &String| Quantity { name: name.clone(), note: Note::LabelInvalid, offset: 0.0, required: true };
    let labels = recipe.labels.iter().filter(|name| **name != extinction.name).map(label);
    if let Some(name) = &recipe.parallax_bias_column {
        subtract_bias(stars, name, notes)?;
    }
    let quantities: Vec<Quantity> = std::iter::once(parallax).chain(labels).collect();
    let mut columns = Vec::new();
    for quantity in quantities.into_iter().chain([extinction]) {
        columns.extend(quantity.take(stars, notes)?);
    }
    Ok(columns)
}

/// Subtracts the column `name` from the parallaxes, both in mas (see [`super::used`]); one without a bias
/// becomes missing, since it would be in another system than the others. The column stays.
fn subtract_bias(stars: &mut Table, name: &str, notes: &mut [i32]) -> Result<()> {
    let bias = stars.column(name).map_err(|error| error.within("prepare recipe, parallax_bias_column"))?;
    let parallax = stars.column("parallax")?;
    let bias = bias.to_f64()?;
    let mut values = parallax.to_f64()?;
    for ((value, bias), notes) in values.iter_mut().zip(bias).zip(notes) {
        *notes |= if value.is_finite() && !bias.is_finite() { Note::ParallaxInvalid.bit() } else { 0 };
        *value -= if bias.is_finite() { bias } else { f64::NAN };
    }
    let schema = parallax.schema.clone();
    stars.take("parallax");
    stars.push(Column::nullable(schema, values))
}

impl Quantity {
    fn take(&self, stars: &mut Table, notes: &mut [i32]) -> Result<Vec<Column>> {
        let error_name = format!("{}_error", self.name);
        let alike = |name: &str| stars.columns().iter().find(|column| column.schema.name.eq_ignore_ascii_case(name));
        if !self.required && stars.get(&self.name).is_none() {
            if let Some(other) = alike(&self.name) {
                say_other_capitals("joined tables", &other.schema.name, &self.name);
            }
            return Ok(Vec::new());
        }
        stars.column(&self.name)?;
        if alike(&error_name).is_none() {
            return Err(Error::data(format!("joined tables, column '{error_name}'"))
                .found(format!("no such column beside '{}'", self.name))
                .expected("the errors, without which values constrain nothing")
                .remedy(format!(
                    "Join a table that has them too, or leave '{}' out (rename it in the file, or choose columns: tables.columns in a recipe).",
                    self.name
                )));
        }
        stars.column(&error_name)?;
        let (Some(value), Some(error)) = (stars.take(&self.name), stars.take(&error_name)) else {
            return Err(Error::data(format!("column '{}'", self.name)).found("no such column"));
        };
        let mut values: Vec<f64> = value.to_f64()?.into_iter().map(|value| value + self.offset).collect();
        let mut errors = error.to_f64()?;
        for ((value, error), notes) in values.iter_mut().zip(&mut errors).zip(notes) {
            let valid = value.is_finite() && error.is_finite() && *error > 0.0;
            if !valid {
                *notes |= if value.is_nan() { 0 } else { self.note.bit() };
                (*value, *error) = (f64::NAN, f64::NAN);
            }
        }
        let schema = |column: &Column, name: &str, statistic: &str| {
            let (unit, description, ucd) = standard(&self.name);
            let known = |found: &str, standard: &str| if found.is_empty() { standard.to_owned() } else { found.to_owned() };
            let described = format!("{statistic}{description}");
            ColumnSchema {
                name: name.to_owned(),
                unit: known(&column.schema.unit, &unit),
                ucd: if statistic.is_empty() { ucd } else { format!("stat.error;{ucd}") },
                description: known(&column.schema.description, &described),
                ..ColumnSchema::default()
            }
        };
        Ok(vec![
            Column::nullable(schema(&value, &self.name, ""), values),
            Column::nullable(schema(&error, &error_name, "Error of the "), errors),
        ])
    }
}

/// Unit, description and UCD of a quantity. Reddenings are in the unit of the input, and logarithms have none
/// in files.
fn standard(name: &str) -> (String, String, String) {
    let facts = Facts::of(name);
    let unit = if facts.needs_unit { facts.unit_in_files().to_owned() } else { String::new() };
    let description = if facts.description.is_empty() { "stellar label".to_owned() } else { facts.description };
    (unit, description, facts.ucd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::prepare::join::id_column;

    fn stars(values: [f64; 4], errors: [f64; 4]) -> Table {
        let column = |name: &str, values: [f64; 4]| Column::nullable(ColumnSchema::new(name, "", ""), values.into());
        Table::new(vec![id_column(&[1, 2, 3, 4]), column("parallax", values), column("parallax_error", errors)]).unwrap()
    }

    #[test]
    fn negative_parallaxes_stay_and_bad_errors_are_noted() {
        let recipe = PrepareRecipe { labels: Vec::new(), parallax_zero_point: 0.05, ..Default::default() };
        let mut notes = [0; 4];
        let mut stars = stars([-0.2, 0.0, 1.0, f64::NAN], [0.1, 0.1, 0.0, 0.1]);
        let columns = take(&recipe, &mut stars, &mut notes).unwrap();
        let values = columns[0].to_f64().unwrap();
        assert!((values[0] + 0.15).abs() < 1e-12 && (values[1] - 0.05).abs() < 1e-12 && values[2].is_nan() && values[3].is_nan());
        assert_eq!(notes, [0, 0, Note::ParallaxInvalid.bit(), 0]);
        assert_eq!((columns[0].schema.unit.as_str(), columns[1].schema.name.as_str()), ("mas", "parallax_error"));
        assert_eq!(stars.columns().len(), 1);
    }

    #[test]
    fn other_capitals_are_said_and_values_without_errors_refused() {
        let recipe = PrepareRecipe { labels: Vec::new(), ..Default::default() };
        let renamed = |from: &str, to: &str| {
            let mut stars = stars([1.0; 4], [0.1; 4]);
            let mut column = stars.take(from).unwrap();
            column.schema.name = to.to_owned();
            stars.push(column).unwrap();
            take(&recipe, &mut stars, &mut [0; 4])
        };
        assert!(renamed("parallax", "PARALLAX").unwrap().is_empty());
        let said = crate::warning::said();
        assert!(said.iter().any(|text| text.contains("'PARALLAX' is not taken for 'parallax'")), "{said:?}");
        let message = renamed("parallax_error", "e_parallax").unwrap_err().to_string();
        assert!(message.contains("joined tables, column 'parallax_error'") && message.contains("beside 'parallax'"), "{message}");
        let message = renamed("parallax_error", "Parallax_Error").unwrap_err().to_string();
        assert!(message.contains("no such column, but 'Parallax_Error'"), "{message}");
    }

    #[test]
    fn labels_that_the_recipe_names_are_required() {
        let recipe = PrepareRecipe { labels: vec!["teff".into()], ..Default::default() };
        let message = take(&recipe, &mut stars([1.0; 4], [1.0; 4]), &mut [0; 4]).unwrap_err().to_string();
        assert!(message.contains("'teff'"), "{message}");
    }
}
