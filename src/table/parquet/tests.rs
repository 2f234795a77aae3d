//! Files that other programs write.

use super::arrays::{Origin, column};
use crate::table::{ColumnSchema, Shape, Table, Values, read, read_chunks, read_columns, read_schema};
use crate::warning::said;
use arrow_array::builder::{Float32Builder, ListViewBuilder, UInt64Builder};
use arrow_array::types::{Float32Type, Int8Type, Int32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray,
    Float16Array, Float64Array, Int64Array, LargeListArray, LargeStringArray, ListArray, RecordBatch, StringArray,
    StringViewArray, StructArray, TimestampMicrosecondArray, UInt16Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Fields, Schema};
use base64::Engine;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub(super) fn written_with(batch: &RecordBatch, properties: WriterProperties) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
    let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    file
}

fn written(columns: Vec<(&str, ArrayRef)>) -> tempfile::NamedTempFile {
    written_with(&RecordBatch::try_from_iter(columns).unwrap(), WriterProperties::default())
}

pub(super) fn fixed(rows: Vec<Option<Vec<Option<f32>>>>, length: i32) -> ArrayRef {
    Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows, length))
}

#[test]
fn types_that_other_programs_write() {
    let lists = LargeListArray::from_iter_primitive::<Float32Type, _, _>([Some(vec![Some(1.0), None]), None, Some(vec![])]);
    let half = Float16Array::from_iter_values([1.5, -2.0, 0.25].map(arrow_float16));
    let file = written(vec![
        ("small", Arc::new(UInt16Array::from(vec![Some(65_535), None, Some(1)]))),
        ("id", Arc::new(UInt64Array::from(vec![1, 5_853_498_713_190_525_696, 3]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a text longer than twelve bytes")]))),
        ("large", Arc::new(LargeStringArray::from(vec!["x", "y", "z"]))),
        ("band", Arc::new(DictionaryArray::<Int8Type>::from_iter([Some("g"), None, Some("g")]))),
        ("lists", Arc::new(lists)),
        ("half", Arc::new(half)),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
    ]);
    let table = read(file.path()).unwrap();
    assert_eq!(table.column("small").unwrap().values, Values::Int32(vec![65_535, 0, 1]));
    assert_eq!(table.column("small").unwrap().valid, Some(vec![true, false, true]));
    assert_eq!(table.column("id").unwrap().to_i64().unwrap()[1], 5_853_498_713_190_525_696);
    assert_eq!(table.column("band").unwrap().values, Values::Text(vec!["g".into(), String::new(), "g".into()]));
    assert_eq!(table.column("band").unwrap().valid, Some(vec![true, false, true]));
    assert_eq!(table.column("view").unwrap().valid, Some(vec![true, false, true]));
    assert_eq!(table.column("large").unwrap().values, Values::Text(["x", "y", "z"].map(str::to_owned).to_vec()));
    let lists = table.column("lists").unwrap();
    assert_eq!((lists.shape.clone(), lists.valid.clone()), (Shape::Variable(vec![0, 2, 2, 2]), Some(vec![true, false, true])));
    assert!(lists.flat_f64().unwrap()[1].is_nan());
    assert_eq!(table.column("half").unwrap().values, Values::Float32(vec![1.5, -2.0, 0.25]));
    assert_eq!(table.column("flag").unwrap().valid, Some(vec![true, false, true]));
}

/// A 16-bit float of a number that it holds exactly.
fn arrow_float16(value: f32) -> <arrow_array::types::Float16Type as arrow_array::ArrowPrimitiveType>::Native {
    <arrow_array::types::Float16Type as arrow_array::ArrowPrimitiveType>::Native::from_f32(value)
}

#[test]
fn columns_that_a_table_cannot_hold_are_in_nobody_s_way() {
    let fields = Fields::from(vec![Field::new("x", DataType::Int64, true)]);
    let structs = StructArray::new(fields, vec![Arc::new(Int64Array::from(vec![1, 2]))], None);
    let inner = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2)])]);
    let item = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
    let nested = FixedSizeListArray::new(item, 1, Arc::new(inner), None);
    let decimal = |digits, scale| Decimal128Array::from(vec![12_345, -1]).with_precision_and_scale(digits, scale).unwrap();
    let file = written(vec![
        ("id", Arc::new(Int64Array::from(vec![5, 6]))),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![1, 2]))),
        ("position", Arc::new(structs)),
        ("nested", Arc::new(nested)),
        ("long_decimal", Arc::new(decimal(38, 2))),
        ("decimal", Arc::new(decimal(10, 2))),
        ("image", Arc::new(BinaryArray::from(vec![&b"abc"[..], &[0xff, 0xd8]]))),
        ("name", Arc::new(BinaryArray::from(vec![Some("\u{3b1} Cen".as_bytes()), None]))),
        ("padded", Arc::new(FixedSizeBinaryArray::try_from_iter([*b"ab\0", *b"cde"].iter()).unwrap())),
    ]);
    let table = read(file.path()).unwrap();
    let names: Vec<&str> = table.columns().iter().map(|column| column.schema.name.as_str()).collect();
    assert_eq!(names, ["id", "decimal", "name", "padded"]);
    let unread: Vec<&str> = table.unread.iter().map(|unread| unread.schema.name.as_str()).collect();
    assert_eq!(unread, ["time", "position", "nested", "long_decimal", "image"]);
    assert_eq!(table.column("decimal").unwrap().to_f64().unwrap(), [123.45, -0.01]);
    assert_eq!(table.column("name").unwrap().values, Values::Text(vec!["\u{3b1} Cen".into(), String::new()]));
    assert_eq!(table.column("padded").unwrap().values, Values::Text(vec!["ab".into(), "cde".into()]));
    let error = table.column("time").unwrap_err().to_string();
    assert!(error.starts_with("column 'time': found values of type Timestamp(\u{b5}s), expected booleans"), "{error}");
    for (name, found) in [
        ("time", "column 'time': found values of type Timestamp"),
        ("nested", "column 'nested': found values of type FixedSizeList"),
        ("position", "column 'position': found values of type Struct"),
        ("long_decimal", "column 'long_decimal': found values of type Decimal128(38, 2)"),
        ("image", "column 'image': found bytes in value 1 that are no text in UTF-8"),
    ] {
        let error = read_columns(file.path(), &["id", name]).unwrap_err().to_string();
        assert!(error.contains(found), "{error}");
    }
    assert_eq!(read_columns(file.path(), &["name"]).unwrap().columns().len(), 1);
    assert_eq!(read_schema(file.path()).unwrap().len(), 9);
}

#[test]
fn too_large_integers_are_refused_by_name() {
    let file = written(vec![("id", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
    let error = read_columns(file.path(), &["id"]).unwrap().column("id").unwrap_err().to_string();
    assert!(error.contains("column 'id'") && error.contains("found 18446744073709551615"), "{error}");
}

#[test]
fn every_codec_and_page_version_is_read() {
    let rows = (0..3000_i16).map(|i| (i % 7 != 0).then(|| vec![Some(f32::from(i)), None, Some(1.5)])).collect();
    let text: StringArray = (0..3000).map(|i| (i % 5 != 0).then(|| format!("star {}", i % 50))).collect();
    let batch = RecordBatch::try_from_iter([
        ("flux", fixed(rows, 3)),
        ("name", Arc::new(text) as ArrayRef),
        ("id", Arc::new(Int64Array::from_iter_values(0..3000))),
    ])
    .unwrap();
    let plain = read(written_with(&batch, WriterProperties::default()).path()).unwrap();
    assert_eq!(plain.column("flux").unwrap().valid.as_ref().unwrap().iter().filter(|&&is| !is).count(), 429);
    for codec in [
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::BROTLI(BrotliLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let properties = WriterProperties::builder()
                .set_compression(codec)
                .set_writer_version(version)
                .set_data_page_row_count_limit(700)
                .set_max_row_group_row_count(Some(1100))
                .build();
            let table = read(written_with(&batch, properties).path()).unwrap();
            for (a, b) in table.columns().iter().zip(plain.columns()) {
                assert!(a.same_as(b), "{codec:?} {version:?} {}", a.schema.name);
            }
        }
    }
}

/// Rows: null, a list with a null element, NaN throughout, two numbers; then all of them null.
#[test]
fn nulls_of_lists_mean_the_same_in_every_type() {
    let rows = || vec![None, Some(vec![Some(1.0), None]), Some(vec![Some(f32::NAN), None]), Some(vec![Some(2.0), Some(3.0)])];
    let views = |rows: Vec<Option<Vec<Option<f32>>>>| {
        let mut builder = ListViewBuilder::new(Float32Builder::new());
        rows.into_iter().for_each(|row| builder.append_option(row));
        Arc::new(builder.finish()) as ArrayRef
    };
    for rows in [rows(), vec![None, None, None, None]] {
        let valid: Vec<bool> = rows.iter().map(|row| row.iter().flatten().flatten().any(|value| !value.is_nan())).collect();
        let arrays: [(&str, ArrayRef); 4] = [
            ("list", Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows.clone()))),
            ("large", Arc::new(LargeListArray::from_iter_primitive::<Float32Type, _, _>(rows.clone()))),
            ("fixed", fixed(rows.clone(), 2)),
            ("view", views(rows.clone())),
        ];
        let table = read(written(arrays.to_vec()).path()).unwrap();
        assert_eq!(table.columns().len(), 4);
        for column in table.columns() {
            let name = &column.schema.name;
            assert_eq!(column.valid.as_ref(), Some(&valid), "{name}");
            let matrix = column.to_matrix(2).unwrap();
            for (row, values) in rows.iter().enumerate() {
                for position in 0..2 {
                    let expected = values.as_ref().and_then(|values| values[position]).unwrap_or(f32::NAN);
                    let (value, expected) = (matrix[[row, position]], f64::from(expected));
                    assert!(value == expected || value.is_nan() && expected.is_nan(), "{name} {row}: {value}, not {expected}");
                }
            }
        }
        // The same without a file: parts of arrays, which start in the middle.
        let path = Path::new("a.parquet");
        for (name, array) in arrays {
            let part =
                column(Origin { path, bytes: 0, first_row: 0 }, ColumnSchema::new(name, "", ""), array.slice(1, 3)).unwrap();
            assert_eq!(
                (part.n_rows(), (0..3).map(|row| part.is_valid(row)).collect::<Vec<_>>()),
                (3, valid[1..].to_vec()),
                "{name}"
            );
            assert_eq!(part.to_matrix(2).unwrap()[[2, 1]].is_nan(), !valid[3]);
        }
    }
    let file = written(vec![("n", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])])))]);
    let error = read(file.path()).unwrap().column("n").unwrap_err().to_string();
    assert!(error.contains("row 0, column 'n': found a null inside the list"), "{error}");
    let floats = Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]);
    let table = read(written(vec![("x", Arc::new(floats))]).path()).unwrap();
    assert_eq!(table.column("x").unwrap().valid, Some(vec![true, false, false]));
}

#[test]
fn units_by_other_keys() {
    let field = |name: &str, key: &str| {
        Field::new(name, DataType::Float64, true).with_metadata(HashMap::from([(key.to_owned(), "uas".to_owned())]))
    };
    let fields = vec![field("a", "unit"), field("b", "units"), field("c", "UNIT"), field("d", "Unit"), field("e", "Units")];
    let fields = [fields, vec![Field::new("f", DataType::Float64, true)]].concat();
    let schema = Schema::new(fields).with_metadata(HashMap::from([(
        "PANDAS_ATTRS".to_owned(),
        r#"{"units": {"f": "mas", "a": "deg"}, "title": "t"}"#.to_owned(),
    )]));
    let columns = (0..6).map(|_| Arc::new(Float64Array::from(vec![1.0])) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let file = written_with(&batch, WriterProperties::default());
    let units: Vec<String> = read_schema(file.path()).unwrap().into_iter().map(|schema| schema.unit).collect();
    assert_eq!(units, ["uas", "uas", "uas", "uas", "uas", "mas"]);
    assert_eq!(read(file.path()).unwrap().metadata.get("title").map(String::as_str), Some("t"));
}

/// Columns that nobody needs, of values that no table holds.
#[test]
fn what_cannot_be_held_is_no_obstacle_until_it_is_needed() {
    let large = UInt64Array::from(vec![Some(7), Some(u64::MAX), None]);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), Some(2)]),
        Some(vec![Some(1), None]),
        Some(vec![None]),
    ]);
    let large_lists =
        ListArray::from_iter_primitive::<UInt64Type, _, _>([Some(vec![Some(1), Some(u64::MAX)]), Some(vec![Some(2)]), None]);
    let mut views = ListViewBuilder::new(UInt64Builder::new());
    views.append_value([Some(1), Some(u64::MAX)]);
    views.append_value([Some(3)]);
    views.append_null();
    let dictionary = DictionaryArray::<Int8Type>::new(vec![0, 1, 0].into(), Arc::new(UInt64Array::from(vec![1, 1 << 63])));
    let file = written(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("large", Arc::new(large)),
        ("lists", Arc::new(lists)),
        ("large_lists", Arc::new(large_lists)),
        ("views", Arc::new(views.finish())),
    ]);
    for rows in [100, 1] {
        let mut chunks = read_chunks(file.path(), rows).unwrap();
        let mut table = chunks.next().unwrap().unwrap();
        chunks.for_each(|chunk| table.append(chunk.unwrap()).unwrap());
        assert_eq!(table.column("id").unwrap().to_i64().unwrap(), [1, 2, 3]);
        for (name, row, found, valid) in [
            ("large", 1, "18446744073709551615", [true, false, false]),
            ("lists", 1, "a null inside the list", [true, false, false]),
            ("large_lists", 0, "18446744073709551615", [false, true, false]),
            ("views", 0, "18446744073709551615", [false, true, false]),
        ] {
            let column = table.get(name).unwrap();
            assert_eq!(column.valid, Some(valid.to_vec()), "{name}");
            let error = column.flat_f64().unwrap_err().to_string();
            assert!(error.contains(&format!("row {row}, column '{name}': found {found}")), "{error}");
            assert_eq!(table.column(name).unwrap_err().to_string(), error);
        }
    }
    assert!(read_columns(file.path(), &["large"]).unwrap().column("large").is_err());

    // The same without a file, for arrays that writers do not keep as they are.
    let origin = Origin { path: Path::new("a.parquet"), bytes: 0, first_row: 5 };
    let schema = || ColumnSchema::new("n", "", "");
    let entries = column(origin, schema(), Arc::new(dictionary)).unwrap();
    assert_eq!(entries.valid, Some(vec![true, false, true]));
    let error = entries.flat_f64().unwrap_err().to_string();
    assert!(error.contains("row 6, column 'n': found 9223372036854775808"), "{error}");
    let item = Arc::new(Field::new("item", DataType::UInt64, true));
    let under_null =
        FixedSizeListArray::new(item, 1, Arc::new(UInt64Array::from(vec![u64::MAX, 5])), Some(vec![false, true].into()));
    let under_null = column(origin, schema(), Arc::new(under_null)).unwrap();
    assert_eq!(under_null.flat_f64().unwrap()[1], 5.0, "what lies in a list that is null is no value");
}

/// By pyarrow 26.0.1: `write_table(table({"x": [1.5, 2.5]}), use_dictionary=False, compression=None,
/// write_page_checksum=True, write_statistics=False, store_schema=False)`.
const WITH_SUM: &str = "UEFSMRUAFSwVLBXB8N7SAhwVBBUAFQYVBhwAAAACAAAABAEAAAAAAAD4PwAAAAAAAARAFQQZLDUAGAZzY2hlbWEVAgAVCiUC\
     GAF4ABYEGRwZHCYAHBUKGSUGABkYAXgVABYEFl4WXiYISRwVABUAFQIAPCkGGSYABAAAABZeFgQmCBZeACggcGFycXVldC1j\
     cHAtYXJyb3cgdmVyc2lvbiAyNi4wLjEZHBwAAAB6AAAAUEFSMQ==";

#[test]
fn pages_with_a_wrong_sum_are_refused() {
    let bytes = base64::engine::general_purpose::STANDARD.decode(WITH_SUM).unwrap();
    let at = bytes.windows(8).position(|window| window == 1.5_f64.to_le_bytes()).unwrap();
    for flip in [0, 0x10] {
        let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
        let mut bytes = bytes.clone();
        bytes[at + 6] ^= flip;
        std::fs::write(file.path(), bytes).unwrap();
        let table = read(file.path());
        if flip == 0 {
            assert_eq!(table.unwrap().column("x").unwrap().to_f64().unwrap(), [1.5, 2.5]);
            continue;
        }
        let error = table.unwrap_err().to_string();
        assert!(error.contains("checksum") && error.contains("copy or download it again"), "{error}");
    }
}

/// The metadata of `Table.read(ours)[:5].write('a.parquet')` by astropy 8.0.2, shortened.
const ASTROPY: &str = "datatype:
- {name: source_id, datatype: int64, description: Identifier of the star, meta: !!omap [{ucd: meta.id;meta.main}]}
- name: flux
  unit: 1e-18 W / (nm m2)
  datatype: string
  subtype: float32[2]
  description: Flux at the wavelengths of the metadata
- {name: parallax, unit: arcsec, datatype: float64}
- {name: parallax.mask, datatype: bool}
meta: !!omap
- {flux_unit: 10**-18 W.m**-2.nm**-1}
- {wavelengths: '[392.0,402.0]'}
- __serialized_columns__:
    parallax: {__class__: astropy.table.column.MaskedColumn, data: !astropy.table.SerializedColumn {name: parallax}}
";

fn described(metadata: &[(&str, &str)], parallax_unit: Option<&str>) -> tempfile::NamedTempFile {
    let unit = parallax_unit.map(|unit| ("unit".to_owned(), unit.to_owned()));
    let flux = fixed(vec![Some(vec![Some(1.0), Some(2.0)])], 2);
    let fields = vec![
        Field::new("source_id", DataType::Int64, true),
        Field::new("flux", flux.data_type().clone(), true),
        Field::new("parallax", DataType::Float64, true).with_metadata(unit.into_iter().collect::<HashMap<_, _>>()),
        Field::new("parallax.mask", DataType::Boolean, true),
    ];
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![7])),
        flux,
        Arc::new(Float64Array::from(vec![3.0])),
        Arc::new(BooleanArray::from(vec![false])),
    ];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let entries = metadata.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    written_with(&batch, WriterProperties::builder().set_key_value_metadata(Some(entries)).build())
}

#[test]
fn what_astropy_and_pandas_keep_of_a_table_is_found() {
    let file = described(&[("table_meta_yaml", ASTROPY)], None);
    let table = read(file.path()).unwrap();
    let unit = |table: &Table, name: &str| table.column(name).unwrap().schema.unit.clone();
    assert_eq!((unit(&table, "flux"), unit(&table, "parallax")), ("1e-18 W / (nm m2)".into(), "arcsec".into()));
    let id = &table.column("source_id").unwrap().schema;
    assert_eq!((id.ucd.as_str(), id.description.as_str()), ("meta.id;meta.main", "Identifier of the star"));
    assert_eq!(table.metadata["wavelengths"], "[392.0,402.0]");
    assert_eq!(table.metadata["flux_unit"], "10**-18 W.m**-2.nm**-1");
    assert!(!table.metadata.contains_key("table_meta_yaml") && !table.metadata.contains_key("ARROW:schema"));
    assert_eq!((table.columns().len(), read_schema(file.path()).unwrap().len()), (3, 3), "the mask is no column of its own");
    assert_eq!(read_schema(file.path()).unwrap()[2].unit, "arcsec");

    // What stands at the column itself, and in the metadata, goes before what an older program left in YAML.
    let file = described(&[("table_meta_yaml", ASTROPY), ("wavelengths", "[1.0,2.0]")], Some("mas"));
    let table = read(file.path()).unwrap();
    assert_eq!((unit(&table, "parallax"), table.metadata["wavelengths"].as_str()), ("mas".into(), "[1.0,2.0]"));

    let file = described(&[("PANDAS_ATTRS", r#"{"flux_unit": "Jy", "wavelengths": [392.0, 402.0]}"#), ("pandas", "{}")], None);
    let table = read(file.path()).unwrap();
    assert_eq!((table.metadata["flux_unit"].as_str(), table.metadata["wavelengths"].as_str()), ("Jy", "[392.0,402.0]"));

    // As astropy 8.0.2 writes it with `format="parquet.votable"`, shortened.
    let votable = "<?xml version='1.0' encoding='utf-8'?>\n<ns0:VOTABLE xmlns:ns0=\"http://www.ivoa.net/xml/VOTable/v1.3\">\
                   <ns0:RESOURCE type=\"results\"><ns0:TABLE><ns0:FIELD name=\"parallax\" datatype=\"double\" unit=\"mas\" \
                   ucd=\"pos.parallax.trig\"/><ns0:PARQUET type=\"Parquet-local-XML\" /></ns0:TABLE></ns0:RESOURCE></ns0:VOTABLE>";
    let file = described(&[("IVOA.VOTable-Parquet.content", votable), ("IVOA.VOTable-Parquet.version", "1.0")], None);
    let table = read(file.path()).unwrap();
    let schema = &table.column("parallax").unwrap().schema;
    assert_eq!((schema.unit.as_str(), schema.ucd.as_str(), table.metadata.len()), ("mas", "pos.parallax.trig", 0));

    let file = described(&[("table_meta_yaml", "datatype: [")], None);
    assert_eq!(read(file.path()).unwrap().n_rows(), 1);
    assert!(said().iter().any(|text| text.contains(&*file.path().to_string_lossy()) && text.contains("table_meta_yaml")));
}

#[test]
fn odd_but_sound_files() {
    let name = "n".repeat(65_536);
    let file = written(vec![(&name, Arc::new(Int64Array::from(vec![1])))]);
    assert_eq!(read(file.path()).unwrap().columns()[0].schema.name, name);

    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let twice = Schema::new(["a", "a", "b"].map(|name| Field::new(name, DataType::Int64, true)).to_vec());
    let batch = RecordBatch::try_new(Arc::new(twice), vec![column.clone(), column.clone(), column]).unwrap();
    let file = written_with(&batch, WriterProperties::default());
    let table = read(file.path()).unwrap();
    assert_eq!((table.columns().len(), table.column("b").unwrap().to_i64().unwrap()), (2, vec![1]));
    let error = table.column("a").unwrap_err().to_string();
    assert!(error.contains("column 'a': found the name twice"), "{error}");
    assert_eq!(read_columns(file.path(), &["b"]).unwrap().columns().len(), 1);
    let error = read_columns(file.path(), &["a"]).unwrap_err().to_string();
    assert!(error.contains("column 'a': found the name twice"), "{error}");
    let error = read_columns(file.path(), &["b", "b"]).unwrap_err().to_string();
    assert!(error.contains("column 'b': found the name twice"), "{error}");

    let empty = written(vec![("x", Arc::new(Float64Array::from(Vec::<f64>::new()))), ("flux", fixed(vec![], 3))]);
    let table = read(empty.path()).unwrap();
    assert_eq!((table.n_rows(), table.columns().len(), table.column("flux").unwrap().shape.clone()), (0, 2, Shape::Fixed(3)));
    assert_eq!(read_chunks(empty.path(), 10).unwrap().count(), 1);

    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(3));
    let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    let table = read(written_with(&none, WriterProperties::default()).path());
    assert!(table.is_ok_and(|table| table.columns().is_empty()));

    let batch = RecordBatch::try_from_iter([("i", Arc::new(Int64Array::from_iter_values(0..1000)) as ArrayRef)]).unwrap();
    let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
    let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), None).unwrap();
    for rows in [0..1, 1..700, 700..700, 700..1000] {
        writer.write(&batch.slice(rows.start, rows.len())).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    for rows in [1, 333, 5000] {
        let chunks: Vec<Table> = read_chunks(file.path(), rows).unwrap().map(Result::unwrap).collect();
        let all: Vec<i64> = chunks.iter().flat_map(|chunk| chunk.column("i").unwrap().to_i64().unwrap()).collect();
        assert!(chunks.iter().all(|chunk| chunk.n_rows() <= rows) && all == (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn float_dictionaries_keep_their_nulls() {
    let keys = arrow_array::Int8Array::from(vec![Some(1), None, Some(0)]);
    let values = Arc::new(Float64Array::from(vec![1.5, 2.5]));
    let array: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(keys, values));
    let column =
        column(Origin { path: Path::new("a.parquet"), bytes: 0, first_row: 0 }, ColumnSchema::new("x", "", ""), array).unwrap();
    let flat = column.to_f64().unwrap();
    assert!(flat[0] == 2.5 && flat[1].is_nan() && flat[2] == 1.5);
}
