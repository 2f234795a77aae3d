//! Files that declare more than they hold, and sound ones that are damaged at random.

use super::tests::{fixed, written_with};
use crate::table::{read, read_column_chunks, read_schema, row_count};
use arrow_array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, types::Int64Type};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::{ArrowWriter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::data_type::FloatType;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An integer as Thrift's compact protocol has it.
fn varint(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest > 127 {
        bytes.push(u8::try_from(rest & 127).unwrap() | 128);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    let mut rest = bytes;
    while let Some(position) = rest.windows(from.len()).position(|window| window == from) {
        result.extend([&rest[..position], to].concat());
        rest = &rest[position + from.len()..];
    }
    [result, rest.to_vec()].concat()
}

/// The file with another footer, or with other data before it.
fn changed(path: &Path, in_footer: bool, change: impl Fn(&[u8]) -> Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let tail = bytes.len() - 8;
    let length = u32::from_le_bytes(*bytes[tail..].first_chunk().unwrap());
    let (data, footer) = bytes[..tail].split_at(tail - usize::try_from(length).unwrap());
    let (data, footer) = if in_footer { (data.to_vec(), change(footer)) } else { (change(data), footer.to_vec()) };
    let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
    std::fs::write(path, [&data, &footer, &length[..], b"PAR1"].concat()).unwrap();
}

/// 50 000 zeros in one page.
fn one_page(n: usize, configure: impl Fn(WriterPropertiesBuilder) -> WriterPropertiesBuilder) -> tempfile::NamedTempFile {
    let schema = Schema::new(vec![Field::new("x", DataType::Int64, false)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![0; n]))]).unwrap();
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(usize::MAX)
        .set_data_page_size_limit(usize::MAX)
        .set_write_batch_size(n)
        .set_max_row_group_row_count(Some(n))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false);
    written_with(&batch, configure(properties).build())
}

fn assert_refused(path: &Path, found: &str) {
    let start = Instant::now();
    let error = read(path).map(|table| table.n_rows()).unwrap_err().to_string();
    assert!(error.contains(found), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{error}");
}

#[test]
fn declared_numbers_are_not_believed() {
    let zstd = |properties: WriterPropertiesBuilder| properties.set_compression(Compression::ZSTD(ZstdLevel::default()));
    let plain = |properties: WriterPropertiesBuilder| zstd(properties).set_encoding(Encoding::PLAIN);
    let dictionary = |properties: WriterPropertiesBuilder| zstd(properties).set_dictionary_enabled(true);

    // A million million rows, and values, in the footer.
    let file = one_page(50_000, plain);
    changed(file.path(), true, |footer| replaced(footer, &varint(50_000), &varint(1_000_000_000_000)));
    assert_refused(file.path(), "--max-expansion");
    assert_eq!(row_count(file.path()).unwrap(), Some(1_000_000_000_000), "a count alone harms nobody");
    let file = one_page(50_000, plain);
    changed(file.path(), true, |footer| replaced(footer, &varint(50_000), &varint(50_001)));
    assert!(read(file.path()).is_err());

    // Two thousand million bytes, or values, in the header of a page.
    let file = one_page(50_000, plain);
    changed(file.path(), false, |data| replaced(data, &varint(400_000), &varint(i32::MAX.into())));
    assert_refused(file.path(), "--max-expansion");
    for configure in [&plain as &dyn Fn(WriterPropertiesBuilder) -> WriterPropertiesBuilder, &dictionary] {
        let file = one_page(50_000, configure);
        changed(file.path(), false, |data| replaced(data, &varint(50_000), &varint(i32::MAX.into())));
        assert_refused(file.path(), "--max-expansion");
    }
    // A column that lies after the file's end, or before its start.
    for offset in [1 << 40, -4] {
        let file = one_page(50_000, plain);
        // The page starts after the first four bytes: the footer says so in the field of the offset, which is
        // a 64-bit integer.
        changed(file.path(), true, |footer| replaced(footer, &[0x26, 8], &[vec![0x26], varint(offset)].concat()));
        let error = read(file.path()).map(|table| table.n_rows()).unwrap_err().to_string();
        assert!(error.contains("column '\"x\"'") || error.contains("a place within"), "{error}");
    }
}

#[test]
fn pages_that_become_more_than_they_say_are_refused() {
    // 80 MB of zeros whose header says 1000 bytes, in codecs that go on for as long as there is something.
    let n = 10_000_000;
    for codec in [Compression::GZIP(GzipLevel::default()), Compression::BROTLI(BrotliLevel::try_new(1).unwrap())] {
        let file = one_page(n, |properties| properties.set_compression(codec).set_encoding(Encoding::PLAIN));
        assert_eq!(read_column_chunks(file.path(), &["x"], n).unwrap().next().unwrap().unwrap().n_rows(), n);
        changed(file.path(), false, |data| replaced(data, &varint(80_000_000), &varint(1000)));
        assert_refused(file.path(), "a compressed page that becomes more bytes than it says");
    }
}

#[test]
fn null_lists_of_a_huge_declared_length_are_refused() {
    let message = "message m { optional group a (LIST) { repeated group list { optional float element; } } }";
    let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
    for (length, is_read) in [(100, true), (i32::MAX, false)] {
        let item = Arc::new(Field::new("element", DataType::Float32, true));
        let schema = Schema::new(vec![Field::new("a", DataType::FixedSizeList(item, length), true)]);
        let mut properties = WriterProperties::default();
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let output = std::fs::File::create(file.path()).unwrap();
        let parsed = Arc::new(parse_message_type(message).unwrap());
        let mut writer = SerializedFileWriter::new(output, parsed, Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<FloatType>().write_batch(&[], Some(&[0; 10]), Some(&[0; 10])).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        match is_read {
            true => assert_eq!(read(file.path()).unwrap().column("a").unwrap().valid, Some(vec![false; 10])),
            false => assert_refused(file.path(), "--max-expansion"),
        }
    }
}

#[test]
fn long_texts_of_many_rows_are_refused() {
    let text = "x".repeat(1 << 20);
    let texts: StringArray = (0..1000).map(|_| Some(text.as_str())).collect();
    let batch = RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).unwrap();
    let properties =
        WriterProperties::builder().set_dictionary_page_size_limit(4 << 20).set_statistics_enabled(EnabledStatistics::None);
    let file = written_with(&batch, properties.set_compression(Compression::ZSTD(ZstdLevel::default())).build());
    assert!(std::fs::metadata(file.path()).unwrap().len() < 1 << 20);
    assert_refused(file.path(), "--max-expansion");
    let first = read_column_chunks(file.path(), &["t"], 10).unwrap().next().unwrap().unwrap();
    assert_eq!(first.n_rows(), 10);
}

/// A footer with groups inside one another, which the decoder would follow down until its stack ends.
#[test]
fn schemas_of_many_levels_are_refused() {
    let mut footer = [&[0x15][..], &varint(2), &[0x19, 0xfc, 0xa1, 0x8d, 0x06]].concat();
    for i in 0..100_001 {
        let is_leaf = i == 100_000;
        let kind = if is_leaf { vec![0x15, 4] } else { Vec::new() };
        let repetition: &[u8] = if is_leaf { &[0x25, 2] } else { &[0x35, 2] };
        let children: &[u8] = if is_leaf { &[] } else { &[0x15, 2] };
        footer.extend([&kind, repetition, &[0x18, 1, b'a'], children, &[0]].concat());
    }
    footer.extend([&[0x16, 0, 0x19, 0x0c, 0][..]].concat());
    let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
    let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
    std::fs::write(file.path(), [b"PAR1", &footer[..], &length, b"PAR1"].concat()).unwrap();
    assert_refused(file.path(), "a schema of more than 64 levels");
    assert!(read_schema(file.path()).is_err());
}

#[test]
fn damage_at_random_is_an_error_or_a_table() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>((0..60).map(|i| (i % 4 > 0).then(|| vec![Some(i); 3])));
    let text: StringArray = (0..60).map(|i| (i % 5 != 0).then(|| format!("star {}", i % 9))).collect();
    let batch = RecordBatch::try_from_iter([
        ("flux", fixed((0..60_i16).map(|i| (i % 7 != 0).then(|| vec![Some(f32::from(i)), None])).collect(), 2)),
        ("id", Arc::new(Int64Array::from_iter_values(0..60)) as ArrayRef),
        ("name", Arc::new(text)),
        ("bytes", Arc::new(arrow_array::BinaryArray::from_iter_values((0..60_u8).map(|i| [i]))) as ArrayRef),
        ("lists", Arc::new(lists) as ArrayRef),
    ])
    .unwrap();
    let sound: Vec<Vec<u8>> = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ]
    .into_iter()
    .enumerate()
    .map(|(i, codec)| {
        let version =
            [parquet::file::properties::WriterVersion::PARQUET_1_0, parquet::file::properties::WriterVersion::PARQUET_2_0][i % 2];
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version)
            .set_dictionary_enabled(i % 3 > 0)
            .set_max_row_group_row_count(Some(40))
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    })
    .collect();
    let mut random = ChaCha8Rng::seed_from_u64(10);
    let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
    let (start, n_cases) = (Instant::now(), 3500);
    let (mut n_read, mut n_panics) = (0, 0);
    for case in 0..n_cases {
        let mut bytes = sound[case % sound.len()].clone();
        let tail = bytes.len() - 8;
        let footer = usize::try_from(u32::from_le_bytes(*bytes[tail..].first_chunk().unwrap())).unwrap();
        for _ in 0..random.gen_range(1..4) {
            // The page headers and levels before the footer, the footer, and its end in turn.
            let at = match random.gen_range(0..8) {
                0..4 => random.gen_range(4..tail - footer),
                4..7 => random.gen_range(tail - footer..tail),
                _ => random.gen_range(tail..bytes.len()),
            };
            bytes[at] = match random.gen_range(0..4) {
                0 => bytes[at] ^ (1 << random.gen_range(0..8)),
                1 => 0xff,
                2 => 0x7f,
                _ => random.r#gen(),
            };
        }
        if random.gen_bool(0.05) {
            bytes.truncate(random.gen_range(0..bytes.len()));
        }
        std::fs::write(file.path(), &bytes).unwrap();
        match read(file.path()) {
            Ok(_) => n_read += 1,
            Err(error) => n_panics += usize::from(error.to_string().contains("cannot follow")),
        }
    }
    eprintln!("{n_read} of {n_cases} files were read, {n_panics} made the decoder panic, {:?}", start.elapsed());
    assert!(n_read > n_cases / 50 && n_read < n_cases, "{n_read} were read");
    assert!(start.elapsed() < Duration::from_secs(60));
}
