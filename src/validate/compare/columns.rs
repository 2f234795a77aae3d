//! The columns of two tables that a comparison reads: others are in nobody's way, whatever their types.

use super::CompareOptions;
use super::pairs::{error_name, shared_name, truth_name};
use crate::table::ColumnSchema;
use std::collections::BTreeSet;

/// Names of the columns that [`super::compare`] needs, of the catalogue and of the reference. A name that an
/// option gives is among them whether or not there is such a column.
pub fn needed_columns(
    catalogue: &[ColumnSchema],
    reference: &[ColumnSchema],
    options: &CompareOptions,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let has = |schemas: &[ColumnSchema], name: &str| schemas.iter().any(|schema| schema.name == name);
    let counterpart = |name: &str| if has(reference, &truth_name(name)) { truth_name(name) } else { name.to_owned() };
    let (mut of_catalogue, mut of_reference) =
        (BTreeSet::from(["source_id".to_owned()]), BTreeSet::from(["source_id".to_owned()]));
    // Spectra and covariances are long, and no quantity; neither is the part of an error.
    let is_list = |name: &str| name == "flux" || name.ends_with("_triu");
    let is_candidate = |name: &str| {
        let is_known = counterpart(name) != name || has(catalogue, &error_name(name));
        is_known && !is_list(name) && has(reference, &counterpart(name))
    };
    let candidates = catalogue.iter().map(|schema| schema.name.as_str()).filter(|name| is_candidate(name));
    let named = options.quantities.iter().map(String::as_str);
    let quantities: Vec<&str> = if options.quantities.is_empty() { candidates.collect() } else { named.collect() };
    let selected = options.minimum_signal.keys().chain(options.ranges.keys()).map(String::as_str);
    for name in quantities.into_iter().chain(selected) {
        let truth = counterpart(name);
        of_catalogue.insert(name.to_owned());
        of_catalogue.extend([error_name(name), shared_name(name)].into_iter().filter(|name| has(catalogue, name)));
        of_reference.extend(Some(error_name(&truth)).filter(|name| has(reference, name)));
        of_reference.insert(truth);
    }
    for name in &options.exclude {
        let side = if has(reference, name) { &mut of_reference } else { &mut of_catalogue };
        side.insert(name.clone());
    }
    of_catalogue.extend(options.quality_flags_below.map(|_| "quality_flags".to_owned()));
    (of_catalogue, of_reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_tables_have_is_needed() {
        let schemas = |names: &[&str]| names.iter().map(|name| ColumnSchema::new(*name, "", "")).collect::<Vec<_>>();
        let catalogue =
            schemas(&["source_id", "teff", "teff_error", "logg", "chi2", "flux", "flux_error", "quality_flags", "note"]);
        let reference =
            schemas(&["source_id", "true_teff", "logg", "chi2", "flux", "flux_error", "obs_date", "true_is_binary", "blob"]);
        let options =
            CompareOptions { exclude: vec!["true_is_binary".into()], quality_flags_below: Some(8), ..Default::default() };
        let (of_catalogue, of_reference) = needed_columns(&catalogue, &reference, &options);
        let names = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(names(of_catalogue), "quality_flags source_id teff teff_error");
        assert_eq!(names(of_reference), "source_id true_is_binary true_teff");
        let options = CompareOptions { quantities: vec!["logg".into(), "absent".into()], ..Default::default() };
        let (of_catalogue, of_reference) = needed_columns(&catalogue, &reference, &options);
        assert_eq!((names(of_catalogue), names(of_reference)), ("absent logg source_id".into(), "absent logg source_id".into()));
    }
}
