//! Images: every type of pixel, scaled and blank ones, tiles of astropy, sums, and damaged files.

use super::checksum::header_bytes;
use super::craft::{Craft, file, hdu};
use super::{FitsFile, HduKind};
use crate::error::Result;
use crate::table::{Values, limits};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// An image extension of these axes (fastest first) with further cards.
fn image(bitpix: i32, axes: &[usize], cards: &[&str], data: &[u8]) -> Vec<u8> {
    let mut header = vec!["XTENSION= 'IMAGE'".to_owned(), format!("BITPIX  = {bitpix}"), format!("NAXIS   = {}", axes.len())];
    header.extend(axes.iter().enumerate().map(|(i, n)| format!("NAXIS{:<3}= {n}", i + 1)));
    header.extend(["PCOUNT  = 0".to_owned(), "GCOUNT  = 1".to_owned(), "EXTNAME = 'B_FLUX'".to_owned()]);
    header.extend(cards.iter().map(|&card| card.to_owned()));
    hdu(&header, data)
}

fn opened(bytes: Vec<u8>) -> Result<FitsFile> {
    FitsFile::from_bytes("image.fits".as_ref(), bytes)
}

fn read_all(bytes: Vec<u8>, rows: usize) -> Result<Vec<Values>> {
    let file = opened(bytes)?;
    let mut image = file.image(1)?;
    let mut parts = Vec::new();
    for _ in (0..image.n_rows()).step_by(rows) {
        parts.push(image.read(rows)?);
    }
    Ok(parts)
}

fn whole(bitpix: i32, cards: &[&str], data: &[u8], n: usize) -> Values {
    read_all(file(&[image(bitpix, &[n, 1], cards, data)]), 9).unwrap().remove(0)
}

#[test]
fn every_type_of_pixel_is_read_and_scaled() {
    let bytes = |values: &[i32]| values.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<u8>>();
    assert_eq!(whole(8, &[], &[0, 255], 2), Values::Int32(vec![0, 255]));
    assert_eq!(whole(16, &[], &[0x80, 0, 0, 7], 2), Values::Int32(vec![-32768, 7]));
    assert_eq!(whole(32, &[], &bytes(&[-5, i32::MIN]), 2), Values::Int32(vec![-5, i32::MIN]));
    assert_eq!(whole(64, &[], &(1_i64 << 60).to_be_bytes(), 1), Values::Int64(vec![1 << 60]));
    assert_eq!(whole(-32, &[], &1.5_f32.to_be_bytes(), 1), Values::Float32(vec![1.5]));
    assert_eq!(whole(-64, &[], &(-0.1_f64).to_be_bytes(), 1), Values::Float64(vec![-0.1]));
    // Unsigned integers: DESI's masks of EDR.
    let unsigned = ["BZERO   = 2147483648", "BSCALE  = 1"];
    let masks = bytes(&[i32::MIN, i32::MIN + 1027, i32::MAX]);
    assert_eq!(whole(32, &unsigned, &masks, 3), Values::Int64(vec![0, 1027, 4_294_967_295]));
    assert_eq!(whole(16, &["BZERO   = 32768"], &[0x80, 0], 1), Values::Int32(vec![0]));
    assert_eq!(whole(16, &["BSCALE  = 0.5", "BZERO   = 1D1"], &[0, 3], 1), Values::Float32(vec![11.5]));
    let Values::Float64(blank) = whole(32, &["BLANK   = -9", "BZERO   = 100"], &bytes(&[-9, 3]), 2) else { panic!("no floats") };
    assert!(blank[0].is_nan() && blank[1] == 103.0);
    // BLANK means nothing among floats.
    assert_eq!(whole(-32, &["BLANK   = 1"], &1.0_f32.to_be_bytes(), 1), Values::Float32(vec![1.0]));
}

#[test]
fn rows_are_along_the_slowest_axis() {
    let data: Vec<u8> = (0..2 * 3 * 4).collect();
    let opened = opened(file(&[image(8, &[4, 3, 2], &["BUNIT   = 'Angstrom'"], &data)])).unwrap();
    assert_eq!((opened.n_hdus(), opened.kind(0), opened.kind(1)), (2, HduKind::Empty, HduKind::Image));
    assert_eq!((opened.find("b_flux").unwrap(), opened.find("R_FLUX").unwrap()), (Some(1), None));
    let error = opened.require("R_FLUX").unwrap_err().to_string();
    assert!(error.contains("image.fits[R_FLUX]") && error.contains("there are: B_FLUX"), "{error}");
    let mut rows = opened.image(1).unwrap();
    assert_eq!((rows.shape(), rows.n_rows(), rows.row_values(), rows.text("BUNIT")), (&[2, 3, 4][..], 2, 12, Some("Angstrom")));
    assert_eq!(rows.read_i64(1).unwrap(), (0..12).collect::<Vec<i64>>());
    assert_eq!(rows.read_f32(5).unwrap(), (12..24).map(|i| i as f32).collect::<Vec<f32>>());
    assert!(rows.read(5).unwrap().is_empty(), "nothing is left");
    let one = FitsFile::from_bytes("image.fits".as_ref(), file(&[image(-32, &[2], &[], &[0; 8])])).unwrap();
    assert!(one.image(1).unwrap().read_i64(1).unwrap_err().to_string().contains("expected integers"));
    assert_eq!(one.image(1).unwrap().n_rows(), 1, "an image of one axis is one row");
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Table rows and heap of a compressed image as astropy 8.0.2 writes it: `CompImageHDU(array,
/// compression_type=…, tile_shape=…)`.
fn tiles(algorithm: &str, bitpix: i32, axes: [usize; 2], tile_rows: usize, n_tiles: usize, hex: &str, cards: &[&str]) -> Vec<u8> {
    let data = from_hex(hex);
    let (rows, heap) = data.split_at(8 * n_tiles);
    let cards: Vec<String> = [
        "ZIMAGE  = T".to_owned(),
        format!("ZBITPIX = {bitpix}"),
        "ZNAXIS  = 2".to_owned(),
        format!("ZNAXIS1 = {}", axes[0]),
        format!("ZNAXIS2 = {}", axes[1]),
        format!("ZTILE1  = {}", axes[0]),
        format!("ZTILE2  = {tile_rows}"),
        format!("ZCMPTYPE= '{algorithm}'"),
    ]
    .into_iter()
    .chain(cards.iter().map(|&card| card.to_owned()))
    .collect();
    let cards: Vec<&str> = cards.iter().map(String::as_str).collect();
    Craft::new(&[("COMPRESSED_DATA", "1PB(46)")], n_tiles, rows.to_vec()).with_heap(heap.to_vec()).with(&cards).bytes()
}

const UNSIGNED: [i64; 21] = [0, 1, 2, 4, 8, 16, 70000, 5, 5, 5, 5, 5, 5, 5, 4_294_967_295, 0, 7, 1_000_000, 999_999, 3, 2];
const SHORT: [i64; 21] = [0, -1, 2, -4, 8, -16, 30000, 5, 5, 5, 5, 5, 5, 5, -32768, 0, 7, 100, 99, 3, 2];
const GZIP_1: &str = "0000002a000000000000001a0000002a0000002a000000441f8b0800a52d0a6b02ff6b60606068606060046226206601620e20166860142c00009489e7ac1c000000\
                      1f8b0800a52d0a6b02ff6b6060606dc0810125c117361c0000001f8b0800a52d0a6b02ffabffffff7f0303030310b337f03b3900b13d90cd0cc44c00495fc0b91c000000";
const RICE_1: &str = "000000130000000000000005000000130000001700000018800000007c0008005000a00240088020018b0080000005007fffffffa4000040001400070e8472800011d08ef00002";

#[test]
fn tiles_of_astropy_are_read() {
    let unsigned = ["BZERO   = 2147483648", "BSCALE  = 1"];
    let rice = |bytes: usize| {
        ["ZNAME1  = 'BLOCKSIZE'".into(), "ZVAL1   = 32".into(), "ZNAME2  = 'BYTEPIX'".into(), format!("ZVAL2   = {bytes}")]
    };
    let rice_4 = rice(4);
    let rice_4: Vec<&str> = rice_4.iter().map(String::as_str).chain(unsigned).collect();
    let rice_2 = rice(2);
    let rice_2: Vec<&str> = rice_2.iter().map(String::as_str).collect();
    let gzip_2 = "000000290000000000000029000000291f8b0800a52d0a6b02ff6b6840060c60c0c8800c04610c4626160e81025608000062bdf1c4380000001f8b0800a52d0a6b02ff\
                  ab6f0083ff0c0cfcfc0c0c40cac90944b13bd833330100304833bd1c000000";
    let short = "0000002e000000001f8b0800a52d0a6b02ff63f8cf0084a50c10d000a5ff33fde1f860c00a010c0cec29c9cc4c0007496b4b2a000000";
    let short_rice =
        "0000001000000000000000030000001000000010000000130000e8002001801a00b806202f0154000005008000e800007fff0074175000c17f0008";
    for (algorithm, bitpix, tile_rows, n_tiles, hex, cards, expected) in [
        ("GZIP_1", 32, 1, 3, GZIP_1, &unsigned[..], UNSIGNED),
        ("GZIP_2", 32, 2, 2, gzip_2, &unsigned[..], UNSIGNED),
        ("RICE_1", 32, 1, 3, RICE_1, &rice_4[..], UNSIGNED),
        ("RICE_1", 16, 1, 3, short_rice, &rice_2[..], SHORT),
        ("GZIP_2", 16, 3, 1, short, &[][..], SHORT),
    ] {
        let opened = opened(file(&[tiles(algorithm, bitpix, [7, 3], tile_rows, n_tiles, hex, cards)])).unwrap();
        assert_eq!(opened.kind(1), HduKind::Image);
        let mut rows = opened.image(1).unwrap();
        let mut found = rows.read_i64(1).unwrap();
        found.extend(rows.read_i64(2).unwrap());
        assert_eq!(found, expected, "{algorithm} {bitpix}");
    }
}

#[test]
fn tiles_that_are_not_read_are_refused_by_name() {
    let message = |algorithm: &str, bitpix, axes, tile_rows, cards: &[&str]| {
        let bytes = file(&[tiles(algorithm, bitpix, axes, tile_rows, 3, GZIP_1, cards)]);
        read_all(bytes, 9).unwrap_err().to_string()
    };
    for (found, words) in [
        (message("HCOMPRESS_1", 32, [7, 3], 1, &[]), "tiles compressed by HCOMPRESS_1"),
        (message("PLIO_1", 32, [7, 3], 1, &[]), "tiles compressed by PLIO_1"),
        (message("GZIP_1", -32, [7, 3], 1, &["ZSCALE  = 0.1"]), "rounded to integers"),
        (message("RICE_1", -32, [7, 3], 1, &[]), "RICE_1"),
        (message("GZIP_1", 32, [8, 3], 1, &[]), "tile 1: found 28 bytes or more, expected 32"),
        (message("GZIP_1", 32, [6, 3], 1, &[]), "tile 1: found 25 bytes or more, expected 24"),
        (message("GZIP_1", 32, [7, 4], 1, &[]), "expected 4, as ZTILEn cut the image"),
    ] {
        assert!(found.contains(words), "{found}");
        assert!(found.contains("image.fits"), "{found}");
    }
    // An image of a terabyte in a few bytes is refused before anything is allocated.
    let bytes = file(&[tiles("GZIP_1", 32, [100_000_000_000, 3], 1, 3, GZIP_1, &[])]);
    assert!(read_all(bytes, 1).unwrap_err().to_string().contains("--max-expansion"));
    // Tiles of part of a row, with rows after it.
    let mut bytes = file(&[tiles("GZIP_1", 32, [7, 3], 2, 3, GZIP_1, &[])]);
    let place = bytes.windows(8).position(|window| window == b"ZTILE1  ").unwrap();
    bytes[place..place + 80].copy_from_slice(format!("{:<80}", "ZTILE1  = 3").as_bytes());
    assert!(read_all(bytes, 1).unwrap_err().to_string().contains("tiles of [3, 2] pixels"));
}

#[test]
fn headers_that_contradict_themselves_or_the_file_are_refused() {
    let message = |bytes: Vec<u8>| read_all(bytes, 2).unwrap_err().to_string();
    let good = image(-32, &[4, 3], &[], &[0; 48]);
    let mut truncated = file(std::slice::from_ref(&good));
    truncated.truncate(truncated.len() - 2860);
    assert!(message(truncated).contains("as its header says"));
    assert!(message(file(&[image(12, &[4], &[], &[])])).contains("BITPIX"));
    assert!(message(file(&[image(-32, &[4, 1], &["BSCALE  = 0"], &[0; 16])])).contains("BSCALE"));
    assert!(message(file(&[image(16, &[4, 1], &["BLANK   = 'x'"], &[0; 8])])).contains("BLANK"));
    assert!(message(file(&[Craft::new(&[("a", "J")], 1, vec![0; 4]).bytes()])).contains("expected an image"));
    let twice = opened(file(&[good.clone(), good])).unwrap();
    assert!(twice.find("B_FLUX").unwrap_err().to_string().contains("HDU 1 and HDU 2"));
}

#[test]
fn sums_are_compared() {
    let data: Vec<u8> = (0..3 * 4).map(|i| i * 7).collect();
    let plain = image(8, &[4, 3], &[], &data);
    let sum = plain[plain.len() - 2880..].chunks(4).fold(0_u64, |sum, word| {
        let sum = sum + u64::from(u32::from_be_bytes(word.try_into().unwrap()));
        (sum & 0xffff_ffff) + (sum >> 32)
    });
    let summed = image(8, &[4, 3], &[&format!("DATASUM = '{sum}'")], &data);
    assert_eq!(read_all(file(std::slice::from_ref(&summed)), 2).unwrap().len(), 2);
    let mut damaged = file(&[summed]);
    let last = damaged.len() - 2880;
    damaged[last] ^= 1;
    let error = read_all(damaged, 2).unwrap_err().to_string();
    assert!(error.contains("DATASUM") && error.contains("damaged"), "{error}");
    // A slice that kept the sums of the whole, as astropy leaves them: said, and read.
    let stale = ["DATASUM = '12345'", "CHECKSUM= 'abcdefghijklmnop'"];
    assert_eq!(read_all(file(&[image(8, &[4, 3], &stale, &data)]), 9).unwrap().len(), 1);
}

/// Bytes changed and cut, and numbers of the header replaced by extreme ones.
fn damaged(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    const NUMBERS: [&str; 11] =
        ["-1", "0", "1", "7", "-64", "2147483648", "999999999999", "9223372036854775807", "1E400", "'RICE_1'", "T"];
    let mut bytes = bytes.to_vec();
    match random.gen_range(0..4) {
        0 => (0..random.gen_range(1..9)).for_each(|_| {
            let place = random.gen_range(0..bytes.len());
            bytes[place] = random.r#gen();
        }),
        1 => bytes.truncate(random.gen_range(0..bytes.len())),
        _ => {
            let is_value = |card: &[u8]| card[8..].starts_with(b"= ");
            let cards: Vec<usize> = (0..bytes.len() / 80).filter(|&card| is_value(&bytes[card * 80..card * 80 + 80])).collect();
            let start = cards[random.gen_range(0..cards.len())] * 80;
            let value = NUMBERS[random.gen_range(0..NUMBERS.len())];
            bytes[start + 10..start + 80].copy_from_slice(format!("{value:<70}").as_bytes());
        }
    }
    bytes
}

#[test]
fn damaged_images_do_no_harm() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let rice = ["ZNAME1  = 'BLOCKSIZE'", "ZVAL1   = 32", "ZNAME2  = 'BYTEPIX'", "ZVAL2   = 4", "BZERO   = 2147483648"];
    let originals = [
        file(&[image(-32, &[4, 3], &["BSCALE  = 1.0", "BZERO   = 0"], &[7; 48])]),
        file(&[image(16, &[4, 3, 2], &["BLANK   = 3", "PCOUNT  = 0"], &[0; 48])]),
        file(&[tiles("GZIP_1", 32, [7, 3], 1, 3, GZIP_1, &[])]),
        file(&[tiles("RICE_1", 32, [7, 3], 1, 3, RICE_1, &rice)]),
    ];
    let (mut n_read, mut n_refused) = (0, 0);
    for _ in 0..800 {
        for original in &originals {
            let bytes = damaged(original, &mut random);
            let length = bytes.len() as u64;
            match read_all(bytes, 2) {
                Ok(parts) => {
                    n_read += 1;
                    let taken: usize = parts.iter().map(|values| values.len() * 8).sum();
                    assert!(taken as u64 <= limits::allowed(length), "{taken} bytes from {length}");
                }
                Err(error) => {
                    n_refused += 1;
                    assert!(error.to_string().contains("image.fits"), "{error}");
                }
            }
        }
    }
    assert!(n_read > 300 && n_refused > 900, "{n_read} read, {n_refused} refused");
}

#[test]
fn a_primary_image_is_read() {
    let cards =
        ["SIMPLE  = T", "BITPIX  = -32", "NAXIS   = 2", "NAXIS1  = 2", "NAXIS2  = 1", "COEFF0  = 3.5682", "OBSID   = 123401001"]
            .map(str::to_owned);
    let mut bytes = header_bytes(&cards);
    bytes.extend([1.0_f32, 2.0].iter().flat_map(|value| value.to_be_bytes()));
    let opened = opened(bytes).unwrap();
    let header = opened.header(0).unwrap();
    assert_eq!((header.number("COEFF0").unwrap(), header.integer("OBSID").unwrap()), (Some(3.5682), Some(123_401_001)));
    assert!(header.integer("COEFF0").unwrap_err().to_string().contains("an integer"));
    assert_eq!((header.logical("SIMPLE"), header.logical("COEFF0"), header.text("NOTHING")), (Some(true), None, None));
    assert_eq!(opened.image(0).unwrap().read_f32(1).unwrap(), [1.0, 2.0]);
}
