//! Files in the surveys' layouts, written byte by byte for tests: small, and with known truth.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Cards of a header, padded.
fn header(cards: &[String]) -> Vec<u8> {
    let mut bytes: Vec<u8> = cards.iter().flat_map(|card| format!("{card:<80}").into_bytes()).collect();
    bytes.extend(format!("{:<80}", "END").into_bytes());
    padded(bytes, b' ')
}

fn padded(mut bytes: Vec<u8>, with: u8) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(2880), with);
    bytes
}

/// Pixels of an image.
pub(super) enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    /// Stored with BZERO = 2³¹.
    U32(Vec<u32>),
}

impl Data {
    fn bytes(&self) -> (i32, Vec<u8>) {
        match self {
            Self::F32(values) => (-32, values.iter().flat_map(|value| value.to_be_bytes()).collect()),
            Self::F64(values) => (-64, values.iter().flat_map(|value| value.to_be_bytes()).collect()),
            Self::I32(values) => (32, values.iter().flat_map(|value| value.to_be_bytes()).collect()),
            Self::U32(values) => (32, values.iter().flat_map(|value| (value ^ 1 << 31).to_be_bytes()).collect()),
        }
    }
}

/// An image of these axes (fastest first): the primary HDU without a name, an extension with one.
pub(super) fn image(name: &str, axes: &[usize], data: &Data, cards: &[&str]) -> Vec<u8> {
    let (bitpix, bytes) = data.bytes();
    let mut all = vec![if name.is_empty() { "SIMPLE  = T".into() } else { "XTENSION= 'IMAGE'".to_owned() }];
    all.push(format!("BITPIX  = {bitpix}"));
    all.push(format!("NAXIS   = {}", axes.len()));
    all.extend(axes.iter().enumerate().map(|(i, n)| format!("NAXIS{:<3}= {n}", i + 1)));
    if !name.is_empty() {
        all.extend(["PCOUNT  = 0".into(), "GCOUNT  = 1".into(), format!("EXTNAME = '{name}'")]);
    }
    if matches!(data, Data::U32(_)) {
        all.push("BZERO   = 2147483648".into());
    }
    all.extend(cards.iter().map(|&card| card.to_owned()));
    [header(&all), padded(bytes, 0)].concat()
}

/// A mask in tiles of one row, compressed by GZIP_1, as EDR's spectra files have it.
pub(super) fn tiled_mask(name: &str, axes: [usize; 2], data: &[u32]) -> Vec<u8> {
    let (mut rows, mut heap) = (Vec::new(), Vec::new());
    for row in data.chunks(axes[0]) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&Data::U32(row.to_vec()).bytes().1).unwrap();
        let tile = encoder.finish().unwrap();
        rows.extend([tile.len() as i32, heap.len() as i32].into_iter().flat_map(i32::to_be_bytes));
        heap.extend(tile);
    }
    let cards = [
        "ZIMAGE  = T".to_owned(),
        "ZBITPIX = 32".into(),
        "ZNAXIS  = 2".into(),
        format!("ZNAXIS1 = {}", axes[0]),
        format!("ZNAXIS2 = {}", axes[1]),
        format!("ZTILE1  = {}", axes[0]),
        "ZTILE2  = 1".into(),
        "ZCMPTYPE= 'GZIP_1'".into(),
        "BZERO   = 2147483648".into(),
    ];
    table_of(name, &[("COMPRESSED_DATA", "1PB")], axes[1], rows, heap, &cards)
}

fn table_of(name: &str, columns: &[(&str, &str)], n_rows: usize, rows: Vec<u8>, heap: Vec<u8>, cards: &[String]) -> Vec<u8> {
    let mut all = vec!["XTENSION= 'BINTABLE'".to_owned(), "BITPIX  = 8".into(), "NAXIS   = 2".into()];
    all.push(format!("NAXIS1  = {}", rows.len() / n_rows.max(1)));
    all.push(format!("NAXIS2  = {n_rows}"));
    all.extend([format!("PCOUNT  = {}", heap.len()), "GCOUNT  = 1".into(), format!("TFIELDS = {}", columns.len())]);
    for (i, (column, form)) in columns.iter().enumerate() {
        all.push(format!("TTYPE{:<3}= '{column}'", i + 1));
        all.push(format!("TFORM{:<3}= '{form}'", i + 1));
    }
    if !name.is_empty() {
        all.push(format!("EXTNAME = '{name}'"));
    }
    all.extend(cards.iter().cloned());
    [header(&all), padded([rows, heap].concat(), 0)].concat()
}

/// Cells of a column of a table.
pub(super) enum Cells {
    K(Vec<i64>),
    J(Vec<i32>),
    D(Vec<f64>),
    E(Vec<f32>),
    /// Of this width.
    A(usize, Vec<&'static str>),
    /// Lists of this length.
    Lists(usize, Vec<f32>),
}

/// A binary table.
pub(super) fn table(name: &str, n_rows: usize, columns: &[(&str, Cells)]) -> Vec<u8> {
    let form = |cells: &Cells| match cells {
        Cells::K(_) => "K".to_owned(),
        Cells::J(_) => "J".into(),
        Cells::D(_) => "D".into(),
        Cells::E(_) => "E".into(),
        Cells::A(width, _) => format!("{width}A"),
        Cells::Lists(length, _) => format!("{length}E"),
    };
    let mut rows = Vec::new();
    for row in 0..n_rows {
        for (_, cells) in columns {
            match cells {
                Cells::K(values) => rows.extend(values[row].to_be_bytes()),
                Cells::J(values) => rows.extend(values[row].to_be_bytes()),
                Cells::D(values) => rows.extend(values[row].to_be_bytes()),
                Cells::E(values) => rows.extend(values[row].to_be_bytes()),
                Cells::A(width, values) => rows.extend(format!("{:<width$}", values[row]).into_bytes()),
                Cells::Lists(length, values) => {
                    rows.extend(values[row * length..(row + 1) * length].iter().flat_map(|value| value.to_be_bytes()));
                }
            }
        }
    }
    let forms: Vec<String> = columns.iter().map(|(_, cells)| form(cells)).collect();
    let columns: Vec<(&str, &str)> = columns.iter().zip(&forms).map(|((name, _), form)| (*name, form.as_str())).collect();
    table_of(name, &columns, n_rows, rows, Vec::new(), &[])
}

/// A primary HDU without data.
pub(super) fn primary(cards: &[&str]) -> Vec<u8> {
    let first = ["SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "EXTEND  = T"];
    header(&first.iter().chain(cards).map(|&card| card.to_owned()).collect::<Vec<_>>())
}

/// Writes HDUs to a file.
pub(super) fn write(folder: &Path, name: &str, hdus: &[Vec<u8>]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, hdus.concat()).unwrap();
    path
}

/// The line of the sample stars, Å in vacuum and the rest frame, with σ in Å.
pub(super) const LINE: f64 = 5184.0;
pub(super) const SIGMA: f64 = 2.0;

/// A star of flux 10 with a line of half its depth, receding at a velocity (classical, km/s).
pub(super) fn star(wavelength: f64, velocity: f64) -> f64 {
    let rest = wavelength / (1.0 + velocity / 299_792.458);
    10.0 * (1.0 - 0.5 * (-0.5 * ((rest - LINE) / SIGMA).powi(2)).exp())
}

/// How masks of DESI are stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum MaskKind {
    Plain,
    Unsigned,
    Tiled,
    Absent,
}

/// An arm of a DESI file: name, first wavelength, pixels of 0.8 Å.
pub(super) const ARMS: [(&str, f64, usize); 2] = [("B", 5100.0, 200), ("R", 5228.0, 150)];
/// Diagonals of the resolution matrix.
pub(super) const DIAGONALS: usize = 5;

/// Wavelengths of an arm.
pub(super) fn arm_wavelength(arm: usize) -> Vec<f64> {
    let (_, first, n) = ARMS[arm];
    (0..n).map(|i| first + 0.8 * i as f64).collect()
}

/// Spectra of DESI: velocities, then changes to flux, ivar and mask by (arm, row).
pub(super) struct Desi {
    pub ids: Vec<i64>,
    pub kinds: Vec<&'static str>,
    pub status: Vec<i32>,
    pub velocities: Vec<f64>,
    pub mask: MaskKind,
    /// `COADD_FIBERSTATUS` or `FIBERSTATUS`.
    pub status_name: &'static str,
}

impl Desi {
    pub fn new(velocities: &[f64]) -> Self {
        Self {
            ids: (0..velocities.len()).map(|i| 39_627_700_000_001_001 + 2 * i as i64).collect(),
            kinds: vec!["TGT"; velocities.len()],
            status: vec![0; velocities.len()],
            velocities: velocities.to_vec(),
            mask: MaskKind::Plain,
            status_name: "COADD_FIBERSTATUS",
        }
    }

    /// The HDUs; `change` sees arm, row, flux, inverse variance and mask of every spectrum.
    pub fn hdus(&self, change: impl Fn(usize, usize, &mut [f32], &mut [f32], &mut [u32])) -> Vec<Vec<u8>> {
        let n_rows = self.ids.len();
        let mut hdus = vec![primary(&["SURVEY  = 'main'", "PROGRAM = 'bright'"])];
        let columns = [
            ("TARGETID", Cells::K(self.ids.clone())),
            (self.status_name, Cells::J(self.status.clone())),
            ("OBJTYPE", Cells::A(3, self.kinds.clone())),
            ("TARGET_RA", Cells::D((0..n_rows).map(|i| 10.0 + i as f64).collect())),
            ("TARGET_DEC", Cells::D(vec![-5.0; n_rows])),
            ("GAIA_PHOT_G_MEAN_MAG", Cells::E(vec![15.5; n_rows])),
        ];
        hdus.push(table("FIBERMAP", n_rows, &columns));
        // More rows than spectra; nobody may take it for the fibre map.
        hdus.push(table("EXP_FIBERMAP", 2 * n_rows, &[("TARGETID", Cells::K([self.ids.clone(), self.ids.clone()].concat()))]));
        for (arm, &(name, _, n)) in ARMS.iter().enumerate() {
            let wavelength = arm_wavelength(arm);
            let (mut flux, mut ivar, mut mask) = (Vec::new(), Vec::new(), Vec::new());
            for row in 0..n_rows {
                let mut one: Vec<f32> = wavelength.iter().map(|&lambda| star(lambda, self.velocities[row]) as f32).collect();
                let (mut weight, mut bits) = (vec![4.0_f32; n], vec![0_u32; n]);
                change(arm, row, &mut one, &mut weight, &mut bits);
                flux.extend(one);
                ivar.extend(weight);
                mask.extend(bits);
            }
            let axes = [n, n_rows];
            let hdu = |what: &str| format!("{name}_{what}");
            let flux_unit = "BUNIT   = '10**-17 erg/(s cm2 Angstrom)'";
            let masks = match self.mask {
                MaskKind::Plain => image(&hdu("MASK"), &axes, &Data::I32(mask.iter().map(|&bits| bits as i32).collect()), &[]),
                MaskKind::Unsigned => image(&hdu("MASK"), &axes, &Data::U32(mask), &[]),
                MaskKind::Tiled => tiled_mask(&hdu("MASK"), axes, &mask),
                MaskKind::Absent => Vec::new(),
            };
            // A kernel of three pixels, the same for all.
            let kernel = [0.0_f32, 0.25, 0.5, 0.25, 0.0];
            let resolution = (0..n_rows).flat_map(|_| kernel.iter().flat_map(|&weight| vec![weight; n])).collect();
            // The order of HDUs differs from file to file.
            hdus.push(masks);
            hdus.push(image(&hdu("IVAR"), &axes, &Data::F32(ivar), &[]));
            hdus.push(image(&hdu("FLUX"), &axes, &Data::F32(flux), &[flux_unit]));
            hdus.push(image(&hdu("WAVELENGTH"), &[n], &Data::F64(wavelength), &["BUNIT   = 'Angstrom'"]));
            hdus.push(image(&hdu("RESOLUTION"), &[n, DIAGONALS, n_rows], &Data::F32(resolution), &[]));
        }
        hdus
    }
}

/// The layouts of LAMOST.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LamostKind {
    Dr1,
    Dr5,
    Dr10,
}

/// Pixels of the LAMOST and SDSS samples: log10 λ = 3.7 + 1e-4 i.
pub(super) const LOG_PIXELS: usize = 300;

pub(super) fn log_wavelength(i: usize) -> f64 {
    10_f64.powf(3.7 + 1e-4 * i as f64)
}

/// A LAMOST spectrum at −150 km/s with ORMASK at pixel 40, ANDMASK with a wrong flux at 80, and no flux
/// from 290 on.
pub(super) fn lamost(kind: LamostKind, cards: &[&str]) -> Vec<Vec<u8>> {
    let n = LOG_PIXELS;
    let mut flux: Vec<f32> = (0..n).map(|i| 200.0 * star(log_wavelength(i), -150.0) as f32).collect();
    let mut ivar = vec![0.01_f32; n];
    let (mut and_mask, mut or_mask) = (vec![0.0_f32; n], vec![0.0_f32; n]);
    (or_mask[40], and_mask[80], or_mask[80], flux[80]) = (1.0, 4.0, 4.0, 9e4);
    flux[290..].fill(0.0);
    ivar[290..].fill(0.0);
    let third: Vec<f32> = match kind {
        LamostKind::Dr1 => flux.iter().map(|flux| flux / 2000.0).collect(),
        _ => (0..n).map(|i| log_wavelength(i) as f32).collect(),
    };
    let common = [
        "TELESCOP= 'LAMOST'",
        "COEFF0  = 3.7",
        "COEFF1  = 0.0001",
        "CTYPE1  = 'LINEAR'",
        "VACUUM  = T",
        "HELIO   = T",
        "HELIO_RV= -12.3",
        "LMJD    = 55862",
        "PLANID  = 'B6212'",
        "SPID    = 6",
        "FIBERID = 18",
        "RA      = 12.5",
        "DEC     = 30.25",
        "Z       = -0.00050034614",
    ];
    let id = if kind == LamostKind::Dr1 { "NEXP    = 3" } else { "OBSID   = 123401001" };
    let is_replaced = |card: &&str| cards.iter().any(|other| other[..8] == card[..8]);
    let all: Vec<&str> = common.into_iter().chain([id]).filter(|card| !is_replaced(card)).chain(cards.iter().copied()).collect();
    match kind {
        LamostKind::Dr10 => {
            let columns = [
                ("FLUX", Cells::Lists(n, flux)),
                ("IVAR", Cells::Lists(n, ivar)),
                ("WAVELENGTH", Cells::Lists(n, third)),
                ("ANDMASK", Cells::Lists(n, and_mask)),
                ("ORMASK", Cells::Lists(n, or_mask)),
            ];
            vec![primary(&all), table("COADD", 1, &columns)]
        }
        _ => vec![image("", &[n, 5], &Data::F32([flux, ivar, third, and_mask, or_mask].concat()), &all)],
    }
}

/// An SDSS spectrum at −150 km/s, whose names are in capitals or not, with BRIGHTSKY and a wrong flux at
/// pixel 80, NODATA below 10, COMBINEREJ in one exposure at 40 and BADSKYCHI in one at 200.
pub(super) fn sdss(is_v: bool, cards: &[&str]) -> Vec<Vec<u8>> {
    let n = LOG_PIXELS;
    let mut flux: Vec<f32> = (0..n).map(|i| star(log_wavelength(i), -150.0) as f32).collect();
    let mut ivar = vec![4.0_f32; n];
    let (mut and_mask, mut or_mask) = (vec![0; n], vec![0; n]);
    (flux[80], and_mask[80], or_mask[40], or_mask[200]) = (99.0, 1 << 23, 1 << 25, 1 << 27);
    ivar[..10].fill(0.0);
    and_mask[..10].fill(1 << 24);
    let name = |text: &'static str| if is_v { text.to_uppercase() } else { text.to_owned() };
    let columns = [
        (name("flux"), Cells::E(flux)),
        (name("loglam"), Cells::E((0..n).map(|i| (3.7 + 1e-4 * i as f64) as f32).collect())),
        (name("ivar"), Cells::E(ivar)),
        (name("and_mask"), Cells::J(and_mask)),
        (name("or_mask"), Cells::J(or_mask)),
        (name("wdisp"), Cells::E(vec![1.1; n])),
    ];
    let (names, cells): (Vec<String>, Vec<Cells>) = columns.into_iter().unzip();
    let columns: Vec<(&str, Cells)> = names.iter().map(String::as_str).zip(cells).collect();
    let results = if is_v {
        table(
            "SPALL",
            1,
            &[
                ("CATALOGID", Cells::K(vec![27_021_598_150_201_533])),
                ("Z", Cells::E(vec![-0.000_500_346])),
                ("ZWARNING", Cells::K(vec![0])),
            ],
        )
    } else {
        let columns = [
            ("PLATE", Cells::K(vec![9999])),
            ("MJD", Cells::K(vec![57_000])),
            ("FIBERID", Cells::K(vec![1])),
            ("Z", Cells::E(vec![-0.000_500_346])),
            ("ZWARNING", Cells::K(vec![0])),
        ];
        table("SPECOBJ", 1, &columns)
    };
    let all = [
        "TELESCOP= 'SDSS 2.5-M'",
        "BUNIT   = '1E-17 erg/cm^2/s/Ang'",
        "COEFF0  = 3.7",
        "COEFF1  = 0.0001",
        "PLUG_RA = 12.5",
        "PLUG_DEC= 30.25",
    ];
    let all: Vec<&str> =
        all.into_iter().filter(|card| !cards.iter().any(|other| other[..8] == card[..8])).chain(cards.iter().copied()).collect();
    vec![primary(&all), table("COADD", n, &columns), results]
}
