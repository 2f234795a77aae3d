//! One table with every kind of column, for the tests of the file formats.

use super::{Column, ColumnSchema, Shape, Table, Values};

/// Four rows: every value type as scalar, fixed list and list of varying length, with units, UCDs,
/// descriptions and nulls.
pub(crate) fn sample_table() -> Table {
    let schema = |name: &str| ColumnSchema::new(name, "", "");
    let lists = |values, offsets: [usize; 5]| (values, Shape::Variable(offsets.to_vec()));
    let with = |schema, (values, shape), valid: Option<[bool; 4]>| {
        Column { schema, values, shape, valid: None }.with_valid(valid.unwrap_or([true; 4]).to_vec())
    };
    let text = |values: &[&str]| Values::Text(values.iter().map(|&value| value.to_owned()).collect());
    let mut columns = vec![
        Column::scalar(
            ColumnSchema::new("source_id", "", "Gaia's identifier, 64 bits").with_ucd("meta.id;meta.main"),
            Values::Int64(vec![5_853_498_713_190_525_696, 5_762_406_957_886_626_816, i64::MAX, -1]),
        ),
        Column::nullable(
            ColumnSchema::new("parallax", "mas", "Parallax: not corrected for the zero-point of \u{2212}0.03 mas")
                .with_ucd("pos.parallax"),
            vec![1.5, f64::NAN, -0.25, 1e-18],
        ),
        Column::scalar(schema("flag"), Values::Bool(vec![true, false, true, true])),
        Column::scalar(schema("count"), Values::Int32(vec![1, -2, i32::MAX, 0])),
        with(schema("optional_count"), (Values::Int32(vec![7, 0, 8, 0]), Shape::Scalar), Some([true, false, true, false])),
        with(schema("optional_id"), (Values::Int64(vec![7, 0, 1 << 62, 0]), Shape::Scalar), Some([true, false, true, false])),
        with(
            schema("optional_flag"),
            (Values::Bool(vec![true, false, false, false]), Shape::Scalar),
            Some([true, false, true, true]),
        ),
        Column::scalar(ColumnSchema::new("magnitude", "mag", ""), Values::Float32(vec![15.1, -1.46, f32::MIN_POSITIVE, 0.0])),
        with(
            schema("name"),
            (text(&["Sirius", "18 \"Sco\", 'b'", "", "\u{3b1} Cen"]), Shape::Scalar),
            Some([true, true, false, true]),
        ),
        Column::fixed(
            ColumnSchema::new("flux", "W.m**-2.nm**-1", "Flux at 3 wavelengths"),
            Values::Float32((0..12).map(|i| 0.1 + i as f32).collect()),
            3,
        ),
        Column::fixed(schema("pixel"), Values::Int32((0..8).collect()), 2),
        Column::fixed(schema("neighbour"), Values::Int64((0..8).map(|i| i + (1 << 60)).collect()), 2),
        Column::fixed(schema("mask"), Values::Bool((0..8).map(|i| i % 3 == 0).collect()), 2),
        Column::fixed(schema("bands"), text(&["g", "bp", "g", "rp", "ks", "h", "j", "w1"]), 2),
        with(
            schema("coefficients"),
            lists(Values::Float64((0..6).map(|i| 1.0 / 3.0 + i as f64).collect()), [0, 3, 3, 5, 6]),
            Some([true, false, true, true]),
        ),
        with(schema("errors"), lists(Values::Float32(vec![0.1, 0.2, 0.3]), [0, 2, 2, 2, 3]), Some([true, false, false, true])),
        with(schema("members"), lists(Values::Int64(vec![1 << 61, 2, 3, 4]), [0, 1, 2, 3, 4]), None),
    ];
    columns.push(with(
        ColumnSchema::new("covariance_triu", "", ""),
        (Values::Float64((0..12).map(f64::from).collect()), Shape::Fixed(3)),
        Some([true, true, false, true]),
    ));
    let mut table = Table::new(columns).expect("columns of equal length");
    table.metadata.insert("model_id".into(), "xp-simulated, version 1".into());
    table.metadata.insert("recipe".into(), "kind = \"xp\"\n[train]\nrate = 1e-3 # a comment, 'quoted' \u{e9}".repeat(5));
    table.metadata.insert("equinox".into(), "2016".into());
    table
}

impl Column {
    /// Equality in which NaN equals NaN.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let same_values = match (&self.values, &other.values) {
            (Values::Float32(a), Values::Float32(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
            }
            (Values::Float64(a), Values::Float64(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
            }
            (a, b) => a == b,
        };
        same_values && self.schema == other.schema && self.shape == other.shape && self.valid == other.valid
    }
}
