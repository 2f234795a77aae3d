//! The first record of an uncompressed Avro file as JSON: enough for the files of GaiaXPy's tests.

use serde_json::{Map, Value};

/// Bytes that are read one after the other.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }

    /// A zigzag number of variable length.
    fn long(&mut self) -> i64 {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return (value >> 1) as i64 ^ -((value & 1) as i64);
            }
        }
    }

    fn length(&mut self) -> usize {
        usize::try_from(self.long()).unwrap()
    }

    fn text(&mut self) -> String {
        let n = self.length();
        String::from_utf8_lossy(self.take(n)).into_owned()
    }

    /// The blocks of an array or map, the reader of one item given.
    fn items(&mut self, mut item: impl FnMut(&mut Self)) {
        loop {
            match self.long() {
                0 => return,
                n => {
                    if n < 0 {
                        self.long();
                    }
                    (0..n.unsigned_abs()).for_each(|_| item(self));
                }
            }
        }
    }

    fn value(&mut self, schema: &Value, named: &mut Map<String, Value>) -> Value {
        match schema {
            Value::Array(union) => {
                let position = self.length();
                self.value(&union[position], named)
            }
            Value::Object(object) => match object["type"].as_str() {
                Some("record") => {
                    named.insert(object["name"].as_str().unwrap().to_owned(), schema.clone());
                    let fields = object["fields"].as_array().unwrap().iter();
                    fields.map(|field| (field["name"].as_str().unwrap().to_owned(), self.value(&field["type"], named))).collect()
                }
                Some("array") => {
                    let mut values = Vec::new();
                    self.items(|bytes| values.push(bytes.value(&object["items"], named)));
                    Value::Array(values)
                }
                _ => self.value(&object["type"], named),
            },
            Value::String(name) => match name.as_str() {
                "null" => Value::Null,
                "boolean" => Value::Bool(self.take(1)[0] != 0),
                "int" | "long" => self.long().into(),
                "float" => f32::from_le_bytes(self.take(4).try_into().unwrap()).into(),
                "double" => f64::from_le_bytes(self.take(8).try_into().unwrap()).into(),
                "string" | "bytes" => self.text().into(),
                name => {
                    let schema = named[name].clone();
                    self.value(&schema, named)
                }
            },
            other => panic!("schema {other}"),
        }
    }
}

/// The first record.
pub(super) fn first_record(file: &[u8]) -> Value {
    let mut bytes = Bytes(file);
    assert_eq!(bytes.take(4), b"Obj\x01");
    let mut header = Map::new();
    bytes.items(|bytes| {
        let key = bytes.text();
        header.insert(key, bytes.text().into());
    });
    bytes.take(16);
    bytes.long();
    bytes.long();
    let schema: Value = serde_json::from_str(header["avro.schema"].as_str().unwrap()).unwrap();
    bytes.value(&schema, &mut Map::new())
}
