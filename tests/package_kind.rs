//! A kind of package from outside the crate: a linear regression from flux to labels is trained by `train`,
//! saved and loaded, and `fit` and `inspect` work with it. Its only registration is that of the program in
//! the test.

use nalgebra::{DMatrix, DVector};
use ndarray::{Array2, Array3};
use photosphere::catalogue::{CatalogueColumns, Estimates};
use photosphere::cli::{Program, run};
use photosphere::error::{Error, Result};
use photosphere::model::Registry;
use photosphere::observations::{Grid, Observations, ReadOptions, Sample, hash64};
use photosphere::package::{
    Estimated, Estimator, FitStage, Kind, Package, Reached, Request, Trainable, Trained, TrainingContext,
};
use photosphere::quantity::Facts;
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::statistics::robust_scatter;
use photosphere::table::{self, Column, ColumnSchema, FolderKind, Table, Values};
use photosphere::tensor::Device;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// A flux is missing.
const NOT_PREDICTED: i32 = 1;

/// label = c · (1, asinh f), with the scatter of the training stars as its error.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Regression {
    kind: String,
    labels: Vec<String>,
    grid: Grid,
    flux_unit: String,
    /// `[labels][1 + W]`, file units.
    coefficients: Vec<Vec<f64>>,
    /// `[labels]`.
    scatter: Vec<f64>,
    #[serde(skip)]
    sha256: String,
}

impl Regression {
    /// By least squares with a small ridge, over the stars that have all labels and fluxes.
    fn solve(observations: &Observations, labels: &[String]) -> Self {
        let measured =
            |star: usize| labels.iter().map(|name| Some(observations.constraint(name, star)?.0)).collect::<Option<Vec<f64>>>();
        let rows: Vec<(DVector<f64>, Vec<f64>)> =
            (0..observations.len()).filter_map(|star| Some((features(observations, star)?, measured(star)?))).collect();
        let n = 1 + observations.grid.len();
        let normal = rows.iter().fold(DMatrix::identity(n, n) * 1e-3, |sum, (x, _)| sum + x * x.transpose());
        let factor = normal.cholesky().expect("a positive-definite matrix");
        let solve = |k: usize| factor.solve(&rows.iter().fold(DVector::zeros(n), |sum, (x, y)| sum + x * y[k]));
        let coefficients: Vec<DVector<f64>> = (0..labels.len()).map(solve).collect();
        let residual = |k: usize| rows.iter().map(|(x, y)| y[k] - coefficients[k].dot(x)).collect::<Vec<f64>>();
        Self {
            kind: Self::KIND.into(),
            labels: labels.to_vec(),
            grid: observations.grid.clone(),
            flux_unit: observations.flux_unit.clone(),
            scatter: (0..labels.len()).map(|k| robust_scatter(&residual(k))).collect(),
            coefficients: coefficients.iter().map(|c| c.iter().copied().collect()).collect(),
            sha256: String::new(),
        }
    }
}

impl Regression {
    fn text(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::output("model.toml").found(error.to_string()))
    }

    fn with_hash(self) -> Result<Self> {
        let digest = hash64(self.text()?.bytes().fold(0, |sum, byte| hash64(sum, u64::from(byte)) as i64), 1);
        Ok(Self { sha256: format!("{digest:016x}"), ..self })
    }
}

/// (1, asinh f) of a star; none where a flux is missing.
fn features(observations: &Observations, star: usize) -> Option<DVector<f64>> {
    let is_whole = observations.n_fluxes(star) == observations.grid.len();
    let fluxes = observations.flux.row(star).into_iter().map(|&flux| f64::from(flux).asinh());
    is_whole.then(|| DVector::from_iterator(1 + observations.grid.len(), std::iter::once(1.0).chain(fluxes)))
}

impl Package for Regression {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn grid(&self) -> &Grid {
        &self.grid
    }

    fn parameters(&self) -> Vec<String> {
        self.labels.clone()
    }

    fn estimator(self: Arc<Self>, request: &Request) -> Result<Arc<dyn Estimator>> {
        request.require_no_fit(Self::KIND)?;
        Ok(self)
    }
}

impl Kind for Regression {
    const KIND: &'static str = "linear_regression";

    fn load(directory: &Path, _effects: &Registry, _device: &Device) -> Result<Self> {
        let path = directory.join("model.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| Error::reading(&path, error))?;
        let read: Self =
            toml::from_str(&text).map_err(|error| Error::model(path.display().to_string()).found(error.to_string()))?;
        read.with_hash()
    }
}

/// Which labels.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    kind: String,
    labels: Vec<String>,
}

impl Trainable for Regression {
    type Recipe = Recipe;

    const FOLDER: FolderKind = FolderKind {
        name: "a linear regression",
        mark: "model.toml",
        files: &["model.toml", "provenance.json", "stars.parquet"],
    };

    fn recipe(text: &str, place: &str, _folder: &Path, _seed: Option<u64>) -> Result<Recipe> {
        toml::from_str(text).map_err(|error| Error::usage(place).found(error.to_string()))
    }

    fn choices(recipe: &Recipe) -> Result<String> {
        toml::to_string(recipe).map_err(|error| Error::usage("recipe").found(error.to_string()))
    }

    fn read_options(recipe: &Recipe, _effects: &Registry, _table: &Table) -> Result<ReadOptions> {
        Ok(ReadOptions { constraints: recipe.labels.clone(), ..ReadOptions::default() })
    }

    fn train(recipe: &Recipe, stars: &dyn Sample, context: &TrainingContext<'_>) -> Result<Trained<Self>> {
        let observations = &*stars.whole()?;
        (context.report)(0.0, "solving")?;
        let ids = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(observations.ids.clone()));
        let package = Self::solve(observations, &recipe.labels).with_hash()?;
        Ok(Trained { package, tables: vec![("stars.parquet", Table::new(vec![ids])?)] })
    }

    fn save_in(&self, folder: &Path) -> Result<()> {
        let path = folder.join("model.toml");
        std::fs::write(&path, self.text()?).map_err(|error| Error::writing(&path, error))
    }

    fn summary(&self) -> serde_json::Value {
        serde_json::json!({ "scatter": self.scatter })
    }
}

impl Estimator for Regression {
    fn read_options(&self) -> ReadOptions {
        ReadOptions { flux_unit: Some(self.flux_unit.clone()), ..Default::default() }
    }

    fn choices(&self) -> Result<String> {
        Ok(String::new())
    }

    fn estimate(&self, observations: &Observations, reached: Reached<'_>) -> Result<Estimated> {
        reached(FitStage::Begun)?;
        self.grid.require_same(&observations.grid)?;
        let (n, p) = (observations.len(), self.labels.len());
        let features: Vec<Option<DVector<f64>>> = (0..n).map(|star| features(observations, star)).collect();
        let value = |(star, k): (usize, usize)| {
            let coefficients = DVector::from_vec(self.coefficients[k].clone());
            features[star].as_ref().map_or(f64::NAN, |x| coefficients.dot(x))
        };
        let variance = |(star, i, j): (usize, usize, usize)| match (&features[star], i == j) {
            (None, _) => f64::NAN,
            (Some(_), true) => self.scatter[i].powi(2),
            (Some(_), false) => 0.0,
        };
        let describe = |name: &String| {
            let facts = Facts::of(name);
            (name.clone(), facts.unit_in_files().to_owned(), facts.description)
        };
        let estimates = Estimates {
            ids: observations.ids.clone(),
            parameters: self.labels.iter().map(describe).collect(),
            fitted: (0..p).collect(),
            values: Array2::from_shape_fn((n, p), value),
            covariance: Array3::from_shape_fn((n, p, p), variance),
            flags: features.iter().map(|x| if x.is_none() { NOT_PREDICTED } else { 0 }).collect(),
        };
        let [errors, covariances, flags] =
            ["scatter of the training stars", "the scatter of the training stars", "bit 0: a flux is missing"].map(String::from);
        let columns = CatalogueColumns { errors, covariances, flags, ..Default::default() };
        reached(FitStage::Description)?;
        let table = estimates.to_table(columns, self.id())?;
        Ok(Estimated { table, flags: estimates.flags, values: estimates.values, residuals: None })
    }
}

#[test]
fn a_kind_of_ones_own_trains_is_saved_and_makes_catalogues() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let labels = ["teff", "feh", "logg"];
    let training = simulate(&SurveyConfig { n_stars: 2000, ..Default::default() }).unwrap();
    table::write(&training, &folder.path().join("training.parquet"), false).unwrap();
    std::fs::write(path("recipe.toml"), "kind = 'linear_regression'\nlabels = ['teff', 'feh', 'logg']\n").unwrap();
    std::fs::write(path("typo.toml"), "kind = 'linear_regression'\nlabel = ['teff']\n").unwrap();
    std::fs::write(path("unknown.toml"), "kind = 'tree'\n").unwrap();
    let new = simulate(&SurveyConfig { n_stars: 300, first_star: 1_000_000, ..Default::default() }).unwrap();
    table::write(&new, &folder.path().join("new.parquet"), false).unwrap();

    let command = |arguments: &str| {
        let words = ["photosphere", "--quiet"].into_iter().chain(arguments.split(' ')).map(Into::into);
        run(Program::standard().with_trained_kind::<Regression>(), words.collect::<Vec<_>>())
    };
    let train = |recipe: &str, more: &str| {
        command(&format!("train {} {} -o {}{more}", path(recipe), path("training.parquet"), path("model")))
    };
    assert_eq!((train("typo.toml", ""), train("unknown.toml", "")), (2, 2));
    assert_eq!(train("recipe.toml", ""), 0);
    assert_eq!((train("recipe.toml", ""), train("recipe.toml", " --resume"), train("recipe.toml", " --overwrite")), (1, 0, 0));
    let (model, stars, catalogue) = (path("model"), path("new.parquet"), path("catalogue.fits"));
    assert_eq!(command(&format!("fit {model} {stars} -o {catalogue} --keep-truth")), 0);
    assert_eq!(command(&format!("inspect {model}")), 0);
    assert_eq!(command(&format!("fit {model} {stars} -o {catalogue} --resume --keep-truth")), 0);
    assert_eq!(command(&format!("fit {model} {stars} -o {} --keep-truth", path("run/"))), 0, "a run over partitions");
    assert_eq!(command(&format!("fit {model} {stars} -o {} --hold feh=0", path("held.fits"))), 2, "no fit, nothing to hold");
    assert_eq!(command(&format!("audit {model} {stars} {catalogue}")), 2, "and nothing to audit");

    let table = table::read(Path::new(&catalogue)).unwrap();
    let column = |name: &str| table.column(name).unwrap().to_f64().unwrap();
    for name in labels {
        let (found, truth, error) = (column(name), column(&format!("true_{name}")), column(&format!("{name}_error")));
        let known: Vec<usize> = (0..300).filter(|&star| found[star].is_finite()).collect();
        let difference: Vec<f64> = known.iter().map(|&star| found[star] - truth[star]).collect();
        let spread = robust_scatter(&known.iter().map(|&star| truth[star]).collect::<Vec<f64>>());
        println!("{name}: scatter {:.3} of {spread:.3}, error {:.3}", robust_scatter(&difference), error[known[0]]);
        assert!(known.len() > 150 && robust_scatter(&difference) < 0.9 * spread);
    }
    let bits = table.column("quality_flags").unwrap().to_i64().unwrap();
    assert!((0..300).all(|star| (bits[star] == 0) == column("teff")[star].is_finite()));
}
