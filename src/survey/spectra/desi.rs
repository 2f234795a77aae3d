//! DESI coadd and spectra files (desidatamodel, desispec `io/spectra.py`): HDUs by name, many spectra in
//! arms B, R, Z, whose masks come in three encodings (all are images of integers once BZERO is undone).

use super::Layout;
use super::fact::{Fact, FactSource, FactTypes};
use super::flux_unit::{self, Measure};
use super::observed::{ObservedSpectrum, ReadOptions, Segment, Spectra, mark_bad};
use crate::error::{Error, Result};
use crate::spectrum::{Medium, ResolutionMatrix, pixel_bounds};
use crate::survey::prepare::Note;
use crate::table::{Column, FitsFile, ImageRows, Table, Values, in_any_case};
use crate::unit;
use crate::warning::warn_once;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows read at once; with resolution matrices some 20 MB.
const BLOCK: usize = 32;
/// FIBERSTATUS bits after which nothing of a fibre can be used: 2, 8, 9, 11, 16–19, 21 (desispec
/// `fiberbitmasking.py`). Others inform (STUCK, RESTRICTED) or can be tolerated (POORPOSITION).
const FATAL_STATUS: i64 = 3_083_012;
/// The bits that end one arm alone.
const FATAL_OF_ARM: [(&str, i64); 3] = [("b", 1 << 22), ("r", 1 << 23), ("z", 1 << 24)];
/// Factor between a pixel's σ and Å is its step: arms are linear, and others are taken by their own steps.
const ANGSTROM: &str = "Angstrom";

/// HDUs of an arm; one with any of them has the first three.
const HDUS: [&str; 5] = ["WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION"];
/// Names of the arms.
const BANDS: [&str; 3] = ["B", "R", "Z"];

/// An arm of a file.
struct Arm {
    name: String,
    /// As the file spells it.
    flux_unit: String,
    /// From the inverse variances to those of the arm's own fluxes, …
    own_ivar: f64,
    /// … and from its fluxes to those of the first arm.
    to_first: f64,
    wavelength: Arc<Vec<f64>>,
    /// Å a pixel.
    steps: Vec<f64>,
    flux: ImageRows,
    ivar: ImageRows,
    mask: Option<ImageRows>,
    resolution: Option<ImageRows>,
}

/// What the fibre map says of the rows.
struct FiberMap {
    ids: Vec<i64>,
    is_star: Vec<bool>,
    status: Vec<i64>,
    facts: Vec<BTreeMap<String, Fact>>,
    /// Of those that are columns.
    fact_types: FactTypes,
    /// Exposures of the row's star in the rows that follow.
    n_following: Vec<usize>,
}

/// The spectra of a file, arm by arm, in its order.
///
/// # Errors
/// When an HDU is absent, or shapes, rows or units contradict one another.
pub(super) fn read(file: &FitsFile, options: &ReadOptions) -> Result<Spectra> {
    let names: Vec<String> = (0..file.n_hdus()).map(|number| file.name(number).to_ascii_uppercase()).collect();
    let mut bands: Vec<&str> = names.iter().filter_map(|name| band(name)).collect();
    bands.sort_unstable();
    bands.dedup();
    if bands.iter().any(|band| band.len() > 1) {
        if bands.iter().any(|band| band.len() == 1) {
            // The same pixels again.
            bands.retain(|band| band.len() == 1);
        } else {
            warn_once(
                "spectra whose arms were joined by DESI's software: the join lost the mask of pixels that every exposure had masked; \
                 prefer files with the arms B, R and Z",
            );
        }
    }
    let mut arms = bands.iter().map(|band| Arm::open(file, band, options.line_spread)).collect::<Result<Vec<_>>>()?;
    let flux_unit = arms.iter().map(|arm| arm.flux_unit.clone()).find(|unit| !unit::is_absent(unit)).unwrap_or_default();
    for arm in &mut arms {
        let place = file.place(&format!("{}_FLUX", arm.name.to_uppercase()));
        arm.to_first = flux_unit::factor(Measure::Flux, &arm.flux_unit, &flux_unit, &place)?;
    }
    let map = FiberMap::read(file, &options.carry)?;
    let n_rows = map.ids.len();
    for arm in &arms {
        if arm.flux.n_rows() != n_rows {
            return Err(Error::data(file.place("FIBERMAP"))
                .found(format!("{n_rows} rows"))
                .expected(format!("{}, as spectra in {}_FLUX", arm.flux.n_rows(), arm.name.to_uppercase()))
                .remedy(
                    "Get the file again: the fibre map has a row for every spectrum (EXP_FIBERMAP has more, and is not read).",
                ));
        }
    }
    let place = file.place("FIBERMAP");
    let n_not_stars = map.is_star.iter().filter(|&&is_star| !is_star).count();
    let mut next = 0;
    let fact_types = map.fact_types.clone();
    let ids = map.ids.iter().zip(&map.is_star).filter(|(_, is_star)| **is_star).map(|(id, _)| *id).collect();
    let spectra = Spectra::in_blocks(Layout::Desi, n_not_stars, fact_types, move || {
        let rows = next..n_rows.min(next + BLOCK);
        next = rows.end;
        (!rows.is_empty()).then(|| block(&mut arms, &map, rows, &place, &flux_unit))
    });
    Ok(Spectra { ids: Some(ids), ..spectra })
}

/// The arm that an HDU belongs to: one of the three, or whatever has wavelengths.
fn band(name: &str) -> Option<&str> {
    let (band, what) = name.rsplit_once('_')?;
    (what == HDUS[0] || BANDS.contains(&band) && HDUS.contains(&what)).then_some(band)
}

/// The stars among the rows of a range; all arms are read up to its end.
fn block(
    arms: &mut [Arm],
    map: &FiberMap,
    rows: std::ops::Range<usize>,
    place: &str,
    flux_unit: &str,
) -> Result<Vec<ObservedSpectrum>> {
    let mut spectra: Vec<Option<ObservedSpectrum>> = rows.clone().map(|row| map.spectrum(row, place, flux_unit)).collect();
    for arm in arms {
        let n = arm.wavelength.len();
        let (flux, ivar) = (arm.flux.read_f32(rows.len())?, arm.ivar.read_f32(rows.len())?);
        let mask = arm.mask.as_mut().map(|mask| mask.read_i64(rows.len())).transpose()?;
        let resolution = arm.resolution.as_mut().map(|resolution| resolution.read_f32(rows.len())).transpose()?;
        let fatal = FATAL_STATUS | FATAL_OF_ARM.iter().find(|(name, _)| *name == arm.name).map_or(0, |(_, bit)| *bit);
        for (i, spectrum) in spectra.iter_mut().enumerate() {
            let Some(spectrum) = spectrum else { continue };
            let range = i * n..(i + 1) * n;
            let double = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
            let (mut flux, mut ivar) = (double(&flux[range.clone()]), double(&ivar[range.clone()]));
            ivar.iter_mut().for_each(|ivar| *ivar *= arm.own_ivar);
            let is_dead = map.status[rows.start + i] & fatal != 0;
            let mask = mask.as_ref().map(|mask| &mask[range.clone()]);
            spectrum.notes |= mark_bad(&mut flux, &mut ivar, |pixel| is_dead || mask.is_some_and(|mask| mask[pixel] != 0));
            if arm.to_first != 1.0 {
                flux.iter_mut().for_each(|flux| *flux *= arm.to_first);
                ivar.iter_mut().for_each(|ivar| *ivar *= arm.to_first.powi(-2));
            }
            let line_spread = match &resolution {
                Some(values) => {
                    let n_diagonals = values.len() / (rows.len() * n).max(1);
                    let part = values[i * n_diagonals * n..(i + 1) * n_diagonals * n].to_vec();
                    let sigma = ResolutionMatrix::new(part, n_diagonals)?.sigma_pixels();
                    sigma.iter().zip(&arm.steps).map(|(sigma, step)| sigma * step).collect()
                }
                None => Vec::new(),
            };
            if ivar.iter().all(|&ivar| ivar == 0.0) {
                spectrum.notes |= Note::ArmMissing.bit();
            }
            spectrum.segments.push(Segment {
                arm: arm.name.clone(),
                wavelength: Arc::clone(&arm.wavelength),
                flux,
                ivar,
                line_spread,
            });
        }
    }
    Ok(spectra.into_iter().flatten().collect())
}

impl Arm {
    fn open(file: &FitsFile, band: &str, line_spread: bool) -> Result<Self> {
        let hdu = |what: &str| format!("{band}_{what}");
        let mut wavelength = file.image(file.require(&hdu("WAVELENGTH"))?)?;
        let factor = match wavelength.text("BUNIT") {
            None | Some("") => 1.0,
            Some(text) => unit::factor(text, ANGSTROM).ok_or_else(|| {
                Error::data(file.place(&hdu("WAVELENGTH"))).found(format!("the unit '{text}'")).expected("a unit of length")
            })?,
        };
        let rows = wavelength.n_rows();
        let wavelength: Vec<f64> = wavelength.read_f64(rows)?.into_iter().map(|value| factor * value).collect();
        let bounds = pixel_bounds(&wavelength).map_err(|error| error.within(file.place(&hdu("WAVELENGTH"))))?;
        let n = wavelength.len();
        let image = |what: &str| file.image(file.require(&hdu(what))?);
        let optional = |what: &str| file.find(&hdu(what))?.map(|number| file.image(number)).transpose();
        let (flux, ivar) = (image("FLUX")?, image("IVAR")?);
        let unit = |image: &ImageRows| image.text("BUNIT").unwrap_or_default().to_owned();
        let flux_unit = unit(&flux);
        flux_unit::require_flux(&flux_unit, &file.place(&hdu("FLUX")))?;
        let own_ivar = flux_unit::factor(Measure::InverseVariance, &unit(&ivar), &flux_unit, &file.place(&hdu("IVAR")))?;
        let arm = Self {
            name: band.to_ascii_lowercase(),
            flux_unit,
            own_ivar,
            to_first: 1.0,
            wavelength: Arc::new(wavelength),
            steps: bounds.iter().map(|(low, high)| high - low).collect(),
            ivar,
            mask: optional("MASK")?,
            resolution: if line_spread { optional("RESOLUTION")? } else { None },
            flux,
        };
        if arm.mask.is_none() {
            warn_once(format!("{}: no mask in the file: only pixels without inverse variance are bad", file.place(&hdu("MASK"))));
        }
        let n_spectra = arm.flux.n_rows();
        for (what, found) in [("FLUX", Some(&arm.flux)), ("IVAR", Some(&arm.ivar)), ("MASK", arm.mask.as_ref())] {
            if let Some(image) = found.filter(|image| image.shape() != [n_spectra, n]) {
                return Err(Error::data(file.place(&hdu(what)))
                    .found(format!("an array of {:?}", image.shape()))
                    .expected(format!("{n_spectra} spectra of {n} pixels, as {band}_FLUX and {band}_WAVELENGTH have"))
                    .remedy("Get the file again, or write it with all HDUs of the arm."));
            }
        }
        if let Some(image) = &arm.resolution
            && !(matches!(image.shape(), [spectra, diagonals, pixels] if *spectra == n_spectra && *pixels == n && diagonals % 2 == 1))
        {
            return Err(Error::data(file.place(&hdu("RESOLUTION")))
                .found(format!("an array of {:?}", image.shape()))
                .expected(format!("{n_spectra} spectra of an odd number of diagonals of {n} pixels"))
                .remedy("Get the file again, or leave the resolution out (`line_spread = false`)."));
        }
        Ok(arm)
    }
}

impl FiberMap {
    fn read(file: &FitsFile, carry: &[String]) -> Result<Self> {
        let number = file.require("FIBERMAP")?;
        let available = file.columns(number);
        let exact = |wanted: &str| in_any_case(&available, |name| name.as_str(), wanted).map(String::as_str);
        let header = file.header(0)?;
        let status = exact("COADD_FIBERSTATUS").or_else(|| exact("FIBERSTATUS"));
        let mut names: Vec<&str> = ["TARGETID", "OBJTYPE", "TARGET_RA", "TARGET_DEC"].into_iter().filter_map(exact).collect();
        names.extend(status);
        names.extend(carry.iter().filter_map(|name| exact(name)));
        names.sort_unstable();
        names.dedup();
        let place = |error: Error| error.within(file.place("FIBERMAP"));
        let table = file.table(number, Some(&names)).map_err(place)?;
        let ids = table.column("TARGETID").and_then(Column::to_i64).map_err(place)?;
        let status = match status {
            Some(name) => table.column(name).and_then(Column::to_i64).map_err(place)?,
            None => {
                warn_once(format!("{}: no FIBERSTATUS: no fibre counts as bad", file.place("FIBERMAP")));
                vec![0; ids.len()]
            }
        };
        let is_star = stars(&table, &ids);
        let position = [("ra", "TARGET_RA"), ("dec", "TARGET_DEC")];
        let carried = carry.iter().map(|name| (name.as_str(), name.as_str()));
        let source = FactSource::new(&table, position.into_iter().chain(carried), &file.place("FIBERMAP"))?;
        let in_header = carry.iter().filter(|name| exact(name).is_none());
        let of_header: BTreeMap<String, Fact> = in_header
            .filter_map(|name| Some((name.to_ascii_lowercase(), Fact::of_header(&header, &name.to_ascii_uppercase())?)))
            .collect();
        let facts = (0..ids.len()).map(|row| source.row(row).into_iter().chain(of_header.clone()).collect()).collect();
        let fact_types = source.types();
        let mut n_following = vec![0; ids.len()];
        let mut counts: HashMap<i64, usize> = HashMap::new();
        for row in (0..ids.len()).rev().filter(|&row| is_star[row]) {
            let count = counts.entry(ids[row]).or_default();
            n_following[row] = *count;
            *count += 1;
        }
        Ok(Self { ids, is_star, status, facts, fact_types, n_following })
    }

    fn spectrum(&self, row: usize, place: &str, flux_unit: &str) -> Option<ObservedSpectrum> {
        self.is_star[row].then(|| ObservedSpectrum {
            id: Some(self.ids[row]),
            place: format!("{place}, row {row}"),
            segments: Vec::new(),
            // The data model: "wavelengths are vacuum, barycentric".
            medium: Some(Medium::Vacuum),
            flux_unit: flux_unit.to_owned(),
            velocity: None,
            facts: self.facts[row].clone(),
            notes: if self.status[row] & FATAL_STATUS != 0 { Note::FiberBad.bit() } else { 0 },
            fault: None,
            n_following: self.n_following[row],
        })
    }
}

/// Rows of targets: neither sky (`SKY`), nor unassigned or stuck fibres (negative TARGETID, empty OBJTYPE),
/// nor `BAD`.
fn stars(table: &Table, ids: &[i64]) -> Vec<bool> {
    let kinds = match table.get("OBJTYPE").map(|column| &column.values) {
        Some(Values::Text(kinds)) => Some(kinds),
        _ => None,
    };
    (0..ids.len())
        .map(|row| ids[row] >= 0 && kinds.is_none_or(|kinds| kinds.get(row).is_some_and(|kind| kind.trim() == "TGT")))
        .collect()
}
