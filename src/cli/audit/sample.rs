//! A random sample of a catalogue's stars with their observations, read file after file in chunks.

use crate::error::{Error, Result};
use crate::infer::{FitOptions, flags, read_options};
use crate::observations::{Observations, columns, hash64};
use crate::optimise::dense::unpack_upper_triangle;
use crate::run::expand;
use crate::run::tally::flags_of;
use crate::table::{Table, read_column_chunks, read_schema};
use crate::text::of_one_line;
use crate::train::TrainedModel;
use ndarray::{Array2, Array3};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Rows in memory at once: of catalogues, and of observations (about 10 kB each).
const CATALOGUE_ROWS: usize = 65_536;
const OBSERVATION_ROWS: usize = 1024;
const FLAGS: &str = "quality_flags";
const COVARIANCE: &str = "covariance_triu";
/// Keeps the sample independent of other uses of the hash.
const SALT: u64 = 0x6175_6469_7400_0000;

/// What the catalogue says of a star.
struct Entry {
    values: Vec<f64>,
    covariance_triu: Vec<f64>,
    flags: i32,
}

/// Sampled stars with what the catalogue says of them, in the order of the observations.
pub struct Sample {
    /// The options of the fit that made the catalogue.
    pub options: FitOptions,
    /// Identifier of the run, or runs, that made it.
    pub runs: BTreeSet<String>,
    pub observations: Observations,
    /// `[N, P]`, file units.
    pub values: Array2<f64>,
    /// `[N, F, F]`.
    pub covariance: Array3<f64>,
    pub flags: Vec<i32>,
    /// Fitted and all stars of the catalogue.
    pub n_fitted: usize,
    pub n_catalogue: usize,
    /// Sampled stars that the observations do not have.
    pub n_absent: usize,
}

/// The catalogue's files with what they have in common.
struct Catalogue {
    files: Vec<PathBuf>,
    options: FitOptions,
    runs: BTreeSet<String>,
}

impl Sample {
    /// Draws `size` stars of `catalogue` (a file, or a folder of partitions) by the seeded hash of their
    /// identifiers, and finds their rows in `observations` (the same). Stars that were not fitted are left
    /// out.
    ///
    /// # Errors
    /// When another model made the catalogue, its partitions were made with different options, it says
    /// nothing of its options, a file cannot be read, or no sampled star is among the observations.
    pub fn draw(trained: &TrainedModel, catalogue: &Path, observations: &Path, size: usize, seed: u64) -> Result<Self> {
        let found = Catalogue::find(trained, catalogue)?;
        let (ids, n_fitted, n_catalogue) = found.draw(size, seed)?;
        let entries = found.entries(trained, &ids)?;
        let Catalogue { options, runs, .. } = found;
        let read = read_options(trained, &options);
        let table = observed(observations, &ids, &read.constraints)?.ok_or_else(|| {
            Error::data(observations.display().to_string())
                .found(format!("none of {} stars drawn from {}", ids.len(), catalogue.display()))
                .expected("the observations from which the catalogue was made")
                .remedy("Name those observations; identifiers of other surveys or releases do not match.")
        })?;
        let place = observations.display().to_string();
        let observations = Observations::from_table_of(&place, table, &read).map_err(|error| error.within(&place))?;
        let entries: Vec<&Entry> = observations.ids.iter().map(|id| &entries[id]).collect();
        let n_free = trained.model.space.len() - options.hold.len();
        let covariances: Vec<Vec<f64>> = entries.iter().map(|e| unpack_upper_triangle(&e.covariance_triu, n_free)).collect();
        Ok(Self {
            runs,
            values: Array2::from_shape_fn((entries.len(), trained.model.space.len()), |(star, p)| entries[star].values[p]),
            covariance: Array3::from_shape_fn((entries.len(), n_free, n_free), |(star, p, q)| covariances[star][p * n_free + q]),
            flags: entries.iter().map(|entry| entry.flags).collect(),
            n_absent: ids.len() - entries.len(),
            n_fitted,
            n_catalogue,
            options,
            observations,
        })
    }
}

impl Catalogue {
    fn find(trained: &TrainedModel, path: &Path) -> Result<Self> {
        let (mut files, mut texts, mut runs) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for file in table_files(path, &[columns::ID, FLAGS])? {
            let first = read_column_chunks(&file, &[columns::ID], 1)?.next().transpose()?.unwrap_or_default();
            let said = |key: &str| {
                first.metadata_of(key).cloned().ok_or_else(|| {
                    Error::data(format!("{}, metadata '{key}'", file.display()))
                        .found("none")
                        .expected("what `photosphere fit` writes")
                        .remedy(
                            "Audit the Parquet, FITS or ECSV catalogue itself. CSV holds no metadata; TOPCAT and STILTS keep them as \
                             VOTable or fits-plus, not as fits-basic.",
                        )
                })
            };
            let model = said("model_sha256")?;
            if model != trained.sha256 {
                return Err(Error::usage(file.display().to_string())
                    .found(format!("a catalogue of model {}", model.get(..16).unwrap_or(&model)))
                    .expected(format!("one of model {}", trained.id()))
                    .remedy("Name the model directory that the catalogue was made with."));
            }
            runs.extend(first.metadata_of(crate::run::provenance::RUN).cloned());
            texts.entry(of_one_line(&said("options")?).into_owned()).or_insert_with(|| file.clone());
            files.push(file);
        }
        let mut texts = texts.into_iter();
        let Some((text, file)) = texts.next() else {
            return Err(Error::data(path.display().to_string())
                .found("no catalogue")
                .expected(format!("tables with the columns {} and {FLAGS}", columns::ID))
                .remedy("Name a catalogue of `photosphere fit`, or the folder of its partitions."));
        };
        if let Some((_, other)) = texts.next() {
            return Err(Error::data(path.display().to_string())
                .found(format!("{} and {}, fitted with different options", file.display(), other.display()))
                .expected("partitions of one catalogue")
                .remedy("Audit them one by one."));
        }
        let options = toml::from_str(&text).map_err(|error: toml::de::Error| {
            Error::data(format!("{}, metadata 'options'", file.display()))
                .found(error.message().to_owned())
                .expected("the options of a fit by this version of the program")
                .remedy("Audit it with the version that made it, or fit again.")
                .source(error)
        })?;
        Ok(Self { files, options, runs })
    }

    /// Identifiers of the sample, and the numbers of fitted and of all stars. Memory is bounded by the
    /// sample.
    fn draw(&self, size: usize, seed: u64) -> Result<(BTreeSet<i64>, usize, usize)> {
        let (mut least, mut n_fitted, mut n_all) = (BTreeSet::new(), 0, 0);
        for file in &self.files {
            for chunk in read_column_chunks(file, &[columns::ID, FLAGS], CATALOGUE_ROWS)? {
                let chunk = chunk?;
                let ids = chunk.column(columns::ID)?.to_i64().map_err(|error| error.within(file.display()))?;
                let bits = chunk.column(FLAGS)?.to_i64().map_err(|error| error.within(file.display()))?;
                n_all += ids.len();
                for (id, _) in ids.into_iter().zip(bits).filter(|(_, bits)| bits & i64::from(flags::NOT_FITTED) == 0) {
                    n_fitted += 1;
                    least.insert((hash64(id, seed ^ SALT), id));
                    if least.len() > size {
                        least.pop_last();
                    }
                }
            }
        }
        Ok((least.into_iter().map(|(_, id)| id).collect(), n_fitted, n_all))
    }

    fn entries(&self, trained: &TrainedModel, ids: &BTreeSet<i64>) -> Result<HashMap<i64, Entry>> {
        let parameters: Vec<&str> = trained.model.space.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let names = [&[columns::ID, FLAGS, COVARIANCE], parameters.as_slice()].concat();
        let n_free = parameters.len() - self.options.hold.len();
        let length = n_free * (n_free + 1) / 2;
        let mut entries = HashMap::new();
        for file in &self.files {
            for chunk in read_column_chunks(file, &names, CATALOGUE_ROWS)? {
                let rows = sampled_rows(chunk?, ids)?;
                let mut read = || -> Result<()> {
                    let bits = rows.column(FLAGS)?.to_i64()?;
                    let triangles = rows.column(COVARIANCE)?.to_matrix(length)?;
                    let values = parameters.iter().map(|name| rows.column(name)?.to_f64()).collect::<Result<Vec<_>>>()?;
                    for (row, id) in rows.column(columns::ID)?.to_i64()?.into_iter().enumerate() {
                        let entry = Entry {
                            values: values.iter().map(|column| column[row]).collect(),
                            covariance_triu: triangles.row(row).to_vec(),
                            flags: flags_of(bits[row]),
                        };
                        if entries.insert(id, entry).is_some() {
                            return Err(Error::data(format!("column '{}'", columns::ID))
                                .found(format!("the identifier {id} more than once in the catalogue"))
                                .expected("every star once")
                                .remedy("Remove the repeated rows, or audit the partitions one by one."));
                        }
                    }
                    Ok(())
                };
                read().map_err(|error| error.within(file.display()))?;
            }
        }
        Ok(entries)
    }
}

/// The rows of the sampled stars in the observations, each star once; `None` when there are none.
fn observed(path: &Path, ids: &BTreeSet<i64>, constraints: &[String]) -> Result<Option<Table>> {
    let mut wanted: Vec<String> =
        [columns::ID, columns::FLUX, columns::FLUX_ERROR, columns::COVARIANCE, columns::XP_COVARIANCE].map(String::from).to_vec();
    wanted.extend(constraints.iter().flat_map(|name| [name.clone(), format!("{name}_error")]));
    let (mut found, mut left): (Option<Table>, BTreeSet<i64>) = (None, ids.clone());
    for file in table_files(path, &[columns::ID, columns::FLUX])? {
        if left.is_empty() {
            break;
        }
        let schema = read_schema(&file)?;
        let present = schema.iter().map(|column| column.name.as_str());
        let names: Vec<&str> = present.filter(|name| wanted.iter().any(|wanted| wanted == name)).collect();
        for chunk in read_column_chunks(&file, &names, OBSERVATION_ROWS)? {
            let rows = sampled_rows(chunk?, &left).map_err(|error| error.within(file.display()))?;
            for id in rows.column(columns::ID)?.to_i64()? {
                left.remove(&id);
            }
            match &mut found {
                _ if rows.n_rows() == 0 => {}
                None => found = Some(rows),
                Some(table) => table.append(rows).map_err(|error| error.within(file.display()))?,
            }
        }
    }
    Ok(found)
}

fn sampled_rows(chunk: Table, ids: &BTreeSet<i64>) -> Result<Table> {
    let found = chunk.column(columns::ID)?.to_i64()?;
    let rows: Vec<usize> = (0..found.len()).filter(|&row| ids.contains(&found[row])).collect();
    Ok(chunk.select(&rows))
}

/// A file, or the tables below a folder that have these columns.
fn table_files(path: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = expand(&[path.to_owned()])?;
    if path.is_dir() {
        let schemas = files.iter().map(|file| read_schema(file)).collect::<Result<Vec<_>>>()?;
        let mut schemas = schemas.into_iter();
        files.retain(|file| {
            let schema = schemas.next().unwrap_or_default();
            let has_all = names.iter().all(|name| schema.iter().any(|column| column.name == *name));
            if !has_all {
                tracing::info!("{}: passed over (no columns {})", file.display(), names.join(", "));
            }
            has_all
        });
        if let [first, _, ..] = files.as_slice() {
            tracing::info!("{}: its {} tables ({}, …) are read", path.display(), files.len(), first.display());
        }
    }
    Ok(files)
}
