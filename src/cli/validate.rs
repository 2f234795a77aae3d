//! `photosphere validate`: a catalogue against a truth or a reference table.

use super::outcome::Outcome;
use super::settings::trimmed;
use crate::error::{Error, Result};
use crate::observations::columns;
use crate::quantity::{Facts, append, symbol};
use crate::run::expand;
use crate::run::inputs::Inputs;
use crate::table::{ColumnSchema, Table, check_target, read_columns, read_schema, write};
use crate::validate::compare::{
    Calibration, CalibrationOptions, CompareOptions, Comparison, QuantityComparison, compare, needed_columns,
};
use crate::validate::figure::{BiasMap, BiasMaps, LabelResidual, LabelResiduals, PitHistograms, PullHistogram, PullHistograms};
use crate::validate::number::aligned;
use crate::validate::report::{FIGURES, PAGE, Report};
use crate::warning::warn_once;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Columns that split stars where a catalogue has them.
const SPLITS: [&str; 4] = ["snr", "phot_g_mean_mag", "extinction", "parallax"];

/// Compare a catalogue with a truth or a reference table: residuals, pulls and coverage.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Catalogue of `photosphere fit`, or any table with source_id, values and errors (<name>_error); of a
    /// folder, all tables in it.
    catalogue: PathBuf,
    /// Table with source_id and reference values (true_<name> or <name>, with or without errors); of a
    /// folder, all tables in it.
    reference: PathBuf,
    /// Folder for a report (report.html) with figures.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Replace the report if it exists.
    #[arg(long)]
    overwrite: bool,
    /// Compare only these quantities; commas between several.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = trimmed)]
    quantity: Vec<String>,
    /// Leave out stars for which one of these columns is set (true_is_binary).
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = trimmed)]
    exclude: Vec<String>,
    /// Leave out stars with quality_flags of this or more (8: the basic cut).
    #[arg(long, value_name = "FLAGS")]
    flags_below: Option<i64>,
    /// Only stars whose reference value exceeds this multiple of the catalogue's error, as in extinction=3.
    #[arg(long, value_name = "COLUMN=RATIO", value_parser = signal)]
    minimum_signal: Vec<(String, f64)>,
    /// Only stars whose reference value lies in this range, as in teff=4000..7000.
    #[arg(long, value_name = "COLUMN=LOW..HIGH", value_parser = range)]
    range: Vec<(String, (f64, f64))>,
    /// Table of the calibration (.parquet, .ecsv): pulls, coverage, PIT, ranks among the posterior's
    /// quantiles, for all stars, quarters of them and cells; in the report and in --json too.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Columns of the catalogue by whose quartiles the calibration splits the stars, where it has them.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = trimmed, default_values = SPLITS, requires = "calibration")]
    split: Vec<String>,
    /// Two columns of the catalogue in whose cells the calibration maps biases.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = trimmed, num_args = 1, default_values = ["teff", "logg"], requires = "calibration")]
    cells: Vec<String>,
}

fn signal(text: &str) -> std::result::Result<(String, f64), String> {
    let parse = || text.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse::<f64>().ok()?)));
    parse().filter(|(_, value)| value.is_finite()).ok_or_else(|| "expected <column>=<number>, as in extinction=3".into())
}

fn range(text: &str) -> std::result::Result<(String, (f64, f64)), String> {
    let parse = || {
        let (name, range) = text.split_once('=')?;
        let (low, high) = range.split_once("..")?;
        let (low, high) = (low.parse::<f64>().ok()?, high.parse::<f64>().ok()?);
        (low <= high).then(|| (name.to_owned(), (low, high)))
    };
    parse().ok_or_else(|| "expected <column>=<low>..<high>, as in teff=4000..7000".into())
}

/// Compares.
pub fn run(arguments: &Arguments) -> Result<Outcome> {
    let options = CompareOptions {
        quantities: arguments.quantity.clone(),
        minimum_signal: arguments.minimum_signal.iter().cloned().collect(),
        ranges: arguments.range.iter().cloned().collect(),
        exclude: arguments.exclude.clone(),
        quality_flags_below: arguments.flags_below,
    };
    if let Some(folder) = &arguments.output {
        let inputs = Inputs::of([&arguments.catalogue, &arguments.reference]);
        [folder.clone(), folder.join(PAGE), folder.join(FIGURES)].iter().try_for_each(|output| inputs.require_other(output))?;
    }
    if let Some(table) = &arguments.calibration {
        Inputs::of([&arguments.catalogue, &arguments.reference]).require_other(table)?;
        check_target(table, arguments.overwrite)?;
    }
    let (catalogue, reference) = read(arguments, &options)?;
    let both = || format!("{} against {}", arguments.catalogue.display(), arguments.reference.display());
    let comparison = compare(&catalogue, &reference, &options).map_err(|error| error.within(both()))?;
    arguments.check_calibration(&catalogue, &comparison)?;
    let calibration = match &arguments.calibration {
        Some(_) => Some(Calibration::of((&catalogue, &reference), (&comparison, &options), &arguments.calibration_options()?)?),
        None => None,
    };
    let mut text = comparison.to_string();
    if let Some(folder) = &arguments.output {
        let page = report(arguments, &comparison, calibration.as_ref()).write(folder, arguments.overwrite)?;
        text.push_str(&format!("\nReport: {}\n", page.display()));
    }
    let as_json = |error: serde_json::Error| Error::output("comparison as JSON").found(error.to_string()).source(error);
    let mut summary = serde_json::to_value(&comparison).map_err(as_json)?;
    if let (Some(calibration), Some(path)) = (&calibration, &arguments.calibration) {
        write(&calibration.to_table()?, path, arguments.overwrite)?;
        let header = vec![Calibration::HEADER.map(String::from).to_vec()];
        text.push_str(&format!("\n{}", aligned(&[header, calibration.text_rows(false)].concat())));
        summary["calibration"] = serde_json::to_value(calibration).map_err(as_json)?;
    }
    Ok(Outcome::answer(text, summary))
}

impl Arguments {
    /// Fails where a calibration is asked for and nothing has errors, or a column that is named is not there.
    fn check_calibration(&self, catalogue: &Table, comparison: &Comparison) -> Result<()> {
        if self.calibration.is_none() {
            return Ok(());
        }
        if comparison.quantities.iter().all(|quantity| quantity.pulls.is_none()) {
            return Err(Error::usage("--calibration")
                .found("no quantity with errors in the catalogue")
                .expected("columns <name>_error, which a calibration judges")
                .remedy("Leave the option out, or name a catalogue with errors."));
        }
        let is_absent = |name: &&String| !SPLITS.contains(&name.as_str()) && catalogue.get(name).is_none();
        match self.split.iter().find(is_absent) {
            None => Ok(()),
            Some(name) => Err(Error::usage(format!("--split {name}"))
                .found("no such column in the catalogue")
                .expected("a column of numbers")
                .remedy("Correct the name.")),
        }
    }

    fn calibration_options(&self) -> Result<CalibrationOptions> {
        let cells = <[String; 2]>::try_from(self.cells.clone()).ok().filter(|[first, second]| first != second);
        let cells =
            cells.ok_or_else(|| Error::usage("--cells").found(self.cells.join(",")).expected("two columns, as in teff,logg"))?;
        Ok(CalibrationOptions { split: self.split.clone(), cells })
    }
}

/// Catalogue and reference, with the columns that the comparison needs.
fn read(arguments: &Arguments, options: &CompareOptions) -> Result<(Table, Table)> {
    let (catalogue, reference) = (Files::of(&arguments.catalogue)?, Files::of(&arguments.reference)?);
    let mut needed = needed_columns(&catalogue.schema, &reference.schema, options);
    if arguments.calibration.is_some() {
        let has = |name: &String| catalogue.schema.iter().any(|column| column.name == *name);
        let quantiles: Vec<String> = needed.0.iter().map(|name| format!("{name}_quantiles")).collect();
        let telling = || arguments.split.iter().chain(&arguments.cells);
        let measured: Vec<String> = telling().flat_map(|name| [name.clone(), format!("{name}_error")]).collect();
        let truths = telling().map(|name| format!("true_{name}")).chain(measured.iter().cloned());
        needed.1.extend(truths.filter(|name| reference.schema.iter().any(|column| column.name == *name)));
        needed.0.extend(measured.iter().chain(&quantiles).filter(|name| has(name)).cloned());
    }
    Ok((catalogue.read(&needed.0)?, reference.read(&needed.1)?))
}

/// A table of one file or of several.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// Of the first.
    pub schema: Vec<ColumnSchema>,
}

impl Files {
    /// The file, or the tables below a folder that have identifiers.
    pub fn of(path: &Path) -> Result<Self> {
        let (mut paths, mut first) = (Vec::new(), None);
        let files = if path.is_dir() { expand(&[path.to_owned()])? } else { vec![path.to_owned()] };
        for file in files {
            let schema = read_schema(&file)?;
            if path.is_dir() && !schema.iter().any(|column| column.name == columns::ID) {
                tracing::info!("{}: passed over (no column {})", file.display(), columns::ID);
                continue;
            }
            first.get_or_insert(schema);
            paths.push(file);
        }
        let schema = first.ok_or_else(|| {
            Error::data(path.display().to_string())
                .found(format!("no table with a column {}", columns::ID))
                .expected("a table, or a folder of tables")
                .remedy("Name the catalogue itself.")
        })?;
        if let [first, _, ..] = paths.as_slice() {
            warn_once(format!("{}: its {} tables ({}, \u{2026}) are read as one", path.display(), paths.len(), first.display()));
        }
        Ok(Self { paths, schema })
    }

    /// These columns of all files, in the units of the first.
    pub fn read(&self, names: &BTreeSet<String>) -> Result<Table> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut whole: Option<Table> = None;
        for path in &self.paths {
            let table = read_columns(path, &names)?;
            let place = path.display().to_string();
            match &mut whole {
                None => whole = Some(table),
                Some(whole) => append(whole, table, &place).map_err(|error| error.within(&place))?,
            }
        }
        Ok(whole.unwrap_or_default())
    }
}

fn report(arguments: &Arguments, comparison: &Comparison, calibration: Option<&Calibration>) -> Report {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (catalogue, reference) = (name(&arguments.catalogue), name(&arguments.reference));
    let mut report = Report::new(format!("{catalogue} against {reference}"));
    report.section(
        "Comparison",
        format!(
            "{} stars compared: {} rows in the catalogue, {} in the reference, {} in both. Pulls are (estimate − reference)/σ, \
             where σ holds the reference's error too if it has one; for right errors their MAD-σ is 1.",
            comparison.n_selected, comparison.n_catalogue, comparison.n_reference, comparison.n_matched
        ),
    );
    let caption = std::iter::once("Residuals and pulls".to_owned()).chain(comparison.notes()).collect::<Vec<_>>().join(". ");
    report.table(&caption, Comparison::HEADER, comparison.rows());
    let quantities = &comparison.quantities;
    let labels: Vec<LabelResidual<'_>> = quantities.iter().map(residual).collect();
    report.figure("Residuals against the reference, with running median and 68 % interval", {
        LabelResiduals { labels: &labels }.figure()
    });
    let with_errors = quantities.iter().filter(|quantity| quantity.pulls.is_some());
    let pulls: Vec<PullHistogram<'_>> = with_errors
        .map(|quantity| PullHistogram { name: symbol(&quantity.name), pulls: &quantity.values.pull, beside: &[] })
        .collect();
    if !pulls.is_empty() {
        report.figure(
            "Pulls against the normal distribution",
            PullHistograms { parameters: &pulls, pulls_name: "pulls", beside_name: "" }.figure(),
        );
    }
    if let Some(calibration) = calibration {
        report.section(
            "Calibration",
            "Shares within 0.674, 1 and 1.96 errors should be 50, 68.3 and 95 %. PIT p and ranks p are the probabilities of histograms as \
             uneven as these for right errors. Means of 100: the root mean square of the mean pulls of 100 neighbours, times 10 (groups); \
             it is 1 where errors are right and independent, more where stars share an error. Sharing: the same over the error that \
             means have with what stars share by the catalogue (<name>_shared_error).",
        );
        report.table("All stars, and quarters of them", Calibration::HEADER, calibration.text_rows(false));
        report.figure(
            "Probabilities of the references in the distributions that the errors claim: even where these are right, highest in the middle \
             where they are too wide, at the ends where too narrow, at a side where estimates are biased. Bands: \
             right errors, in 95 % of all cases (red: of the ranks)",
            PitHistograms { parameters: &calibration.pit_histograms() }.figure(),
        );
        let maps = calibration.maps();
        let means_name = |is_sharing: bool| if is_sharing { ", with what stars share" } else { "" };
        let maps: Vec<BiasMap<'_>> = (maps.iter())
            .map(|map| BiasMap { name: symbol(map.quantity), cells: &map.cells, means_name: means_name(map.is_sharing) })
            .collect();
        if !maps.is_empty() {
            let labels: Vec<(String, bool)> = arguments.cells.iter().map(|name| axis_of(name)).collect();
            let axis = |at: usize| labels.get(at).map_or(("", false), |(label, is_reversed)| (label.as_str(), *is_reversed));
            report.figure(
                "Biases over the cells: in errors of a single star (left), and of the mean of the cell in errors of that mean (right)",
                BiasMaps { parameters: &maps, axes: [axis(0), axis(1)] }.figure(),
            );
        }
        report.table("Cells", Calibration::HEADER, calibration.text_rows(true));
    }
    report
}

/// Label of the axis of a column, and whether it runs backwards, as in a Hertzsprung–Russell diagram.
fn axis_of(name: &str) -> (String, bool) {
    // What the logarithm is of does not fit beside an axis: `dex(cm/s2)`.
    let unit = Facts::of(name).unit.and_then(|unit| Some(unit.split('(').next()?.to_owned()));
    let unit = unit.filter(|unit| !unit.is_empty()).map_or_else(String::new, |unit| format!(" ({unit})"));
    (format!("{}{unit}", symbol(name)), ["teff", "logg", "phot_g_mean_mag"].contains(&name))
}

fn residual(quantity: &QuantityComparison) -> LabelResidual<'_> {
    LabelResidual {
        name: symbol(&quantity.name),
        unit: &quantity.unit,
        reference: &quantity.values.reference,
        estimate: &quantity.values.estimate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_tables_is_one_and_no_report_is_written_over_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("parts")).unwrap();
        let table = |unit: &str, rows: &str| {
            let column = |name: &str, kind: &str| format!("# - {{name: {name}, datatype: {kind}}}\n");
            let parallax = format!("# - {{name: parallax, datatype: float64, unit: {unit}}}\n");
            let columns = [column("source_id", "int64"), parallax, column("parallax_error", "float64")].concat();
            format!("# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n{columns}source_id,parallax,parallax_error\n{rows}")
        };
        std::fs::write(path("parts/a.ecsv"), table("mas", "1,1.0,0.1\n2,2.0,0.1\n")).unwrap();
        std::fs::write(path("parts/b.ecsv"), table("uas", "3,3000.0,0.1\n")).unwrap();
        std::fs::write(path("parts/notes.csv"), "word\nx\n").unwrap();
        std::fs::write(path("true.csv"), "source_id,true_parallax\n1,1.1\n2,1.9\n3,3.1\n").unwrap();
        let mut arguments = Arguments {
            catalogue: path("parts"),
            reference: path("true.csv"),
            output: None,
            overwrite: true,
            quantity: Vec::new(),
            exclude: Vec::new(),
            flags_below: None,
            minimum_signal: Vec::new(),
            range: Vec::new(),
            calibration: None,
            split: Vec::new(),
            cells: Vec::new(),
        };
        let (catalogue, reference) = read(&arguments, &CompareOptions::default()).unwrap();
        assert_eq!(catalogue.column("parallax").unwrap().to_f64().unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(reference.n_rows(), 3);
        assert!(run(&arguments).is_ok());
        std::fs::create_dir(path("report")).unwrap();
        std::fs::hard_link(path("true.csv"), path("report").join(PAGE)).unwrap();
        for output in ["parts", "report"] {
            arguments.output = Some(path(output));
            let error = run(&arguments).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("an output that is the input"), "{error}");
        }
        arguments.catalogue = path("report");
        arguments.output = None;
        let error = run(&arguments).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&path("report").display().to_string()), "{error}");
    }

    #[test]
    fn selections_are_parsed() {
        assert_eq!(range("teff=4000..7000"), Ok(("teff".into(), (4000.0, 7000.0))));
        assert_eq!(range("feh=-2..-0.5"), Ok(("feh".into(), (-2.0, -0.5))));
        assert_eq!(signal("extinction=3"), Ok(("extinction".into(), 3.0)));
        assert!(range("teff=7000..4000").is_err() && range("teff").is_err() && signal("a=nan").is_err());
    }
}
