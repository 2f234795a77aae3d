//! Names that catalogues, observations and predictions have for columns of their own.

use crate::error::{Error, Result};

/// Columns that are there whatever is estimated.
const RESERVED: [&str; 27] = [
    "source_id",
    "model_id",
    "quality_flags",
    "covariance_triu",
    "inverse_covariance_triu",
    "shared_covariance_triu",
    "flux",
    "flux_error",
    "flux_covariance_triu",
    "xp_covariance_triu",
    "chi2",
    "n_dof",
    "n_flux",
    "n_iterations",
    "qflag_chi2",
    "snr",
    "ln_prior",
    "ln_posterior",
    "hessian_min_eigenvalue",
    "second_delta_loss",
    "pair_delta_loss",
    "pair_chi2",
    "companion_flux_fraction",
    "domain_distance",
    "domain_leftover",
    "is_predicted",
    "is_outside_training",
];

/// Fails where a label has the name of a column that is there beside it, or of the errors of another label;
/// FITS does not tell capitals.
///
/// # Errors
/// `Usage`, naming the label; `place` is the key of the recipe.
pub fn require_free_names(place: &str, labels: &[String]) -> Result<()> {
    let plain: Vec<String> = labels.iter().map(|label| label.trim().to_lowercase()).collect();
    let fault = |label: &str, what: String| {
        Err(Error::usage(place)
            .found(format!("a label '{label}', which {what}"))
            .expected("names that no other column has")
            .remedy("Give the column another name, in the recipe and in the observations."))
    };
    for (k, label) in labels.iter().enumerate() {
        let name = plain[k].as_str();
        if RESERVED.contains(&name) {
            return fault(label, "is a column of catalogues or observations by itself".into());
        }
        if let Some(other) = (0..k).find(|&other| plain[other] == name) {
            return fault(label, format!("differs from '{}' by capitals alone", labels[other]));
        }
        let of = name.strip_suffix("_error").and_then(|of| plain.iter().position(|other| other == of));
        if let Some(other) = of {
            return fault(label, format!("is the column of the errors of '{}'", labels[other]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_names_of_their_own() {
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            require_free_names("labels", &names).map_err(|error| error.to_string())
        };
        assert_eq!(of(&["teff", "logg", "age", "true_x", "parallax"]), Ok(()));
        for (names, said) in [
            (&["teff", "snr"][..], "'snr', which is a column"),
            (&["FLUX"], "'FLUX', which is a column"),
            (&["teff", "Teff"], "'Teff', which differs from 'teff'"),
            (&["age_error", "age"], "'age_error', which is the column of the errors of 'age'"),
        ] {
            let error = of(names).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
