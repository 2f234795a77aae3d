//! `photosphere cite`: how to cite.

use super::outcome::Outcome;
use serde_json::json;

const TEXT: &str = concat!(
    "Software
  photosphere ",
    env!("CARGO_PKG_VERSION"),
    " (give the version, and the model_id of the catalogue or the SHA-256 that
  `photosphere inspect <model>` prints).

Method
  Zhang, X., Green, G. M. & Rix, H.-W. 2023, \"Parameters of 220 million stars from Gaia BP/RP spectra\",
  MNRAS 524, 1855, doi:10.1093/mnras/stad1941

Gaia XP spectra, and the instrument tables in the program
  De Angeli, F., et al. 2023, A&A 674, A2, doi:10.1051/0004-6361/202243680
  Montegriffo, P., et al. 2023, A&A 674, A3, doi:10.1051/0004-6361/202243880
  GaiaXPy 2.1.5, Ruz-Mieres, D., et al. (BSD 3-Clause)

Acknowledgement
  This work has made use of data from the European Space Agency (ESA) mission Gaia
  (https://www.cosmos.esa.int/gaia), processed by the Gaia Data Processing and Analysis Consortium
  (DPAC, https://www.cosmos.esa.int/web/gaia/dpac/consortium). Funding for the DPAC has been provided by
  national institutions, in particular the institutions participating in the Gaia Multilateral Agreement.

A trained model has a citation of its own for its training data: `photosphere inspect <model>` prints it."
);

/// Prints what to cite.
pub fn run() -> Outcome {
    let summary = json!({
        "software": concat!("photosphere ", env!("CARGO_PKG_VERSION")),
        "method": ["doi:10.1093/mnras/stad1941"],
        "data": ["doi:10.1051/0004-6361/202243680", "doi:10.1051/0004-6361/202243880"],
        "text": TEXT,
    });
    Outcome::answer(TEXT.into(), summary)
}
