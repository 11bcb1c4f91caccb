//! Tensors of either protocol, and how two of them compare.

use serde_json::Value;

use crate::found::{Found, What};
use crate::number::{Scalar, first_of};

/// A tensor: an output of V2, or `predictions` of V1 as far as they are a box of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// As the protocol calls it: `FP32`, `INT64`, `BYTES`.
    pub(crate) datatype: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) data: Data,
}

/// Its elements, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Numbers(Vec<Scalar>),
    Flags(Vec<bool>),
    Bytes(Vec<Vec<u8>>),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(all) => all.len(),
            Self::Flags(all) => all.len(),
            Self::Bytes(all) => all.len(),
        }
    }

    /// Of JSON: a list, or lists within lists, all of one kind. Numbers of a whole type are whole however they are written.
    pub(crate) fn of_json(data: &Value, datatype: &str) -> Option<Self> {
        let mut flat = Vec::new();
        flatten(data, &mut flat);
        match flat.first() {
            Some(Value::Bool(_)) => flat.iter().map(|value| value.as_bool()).collect::<Option<_>>().map(Self::Flags),
            Some(Value::String(_)) => {
                let bytes = |value: &&Value| Some(value.as_str()?.as_bytes().to_vec());
                flat.iter().map(bytes).collect::<Option<_>>().map(Self::Bytes)
            }
            Some(_) => {
                let scalar = |value: &&Value| match value {
                    Value::Number(number) => Some(typed(Scalar::of(number), datatype)),
                    // How servers write what JSON has no number for.
                    Value::Null => Some(Scalar::Fraction(f64::NAN)),
                    _ => None,
                };
                flat.iter().map(scalar).collect::<Option<_>>().map(Self::Numbers)
            }
            None => Some(Self::Numbers(Vec::new())),
        }
    }
}

/// In a tensor of fractions `1` is one too.
fn typed(scalar: Scalar, datatype: &str) -> Scalar {
    if is_fraction(datatype) { Scalar::Fraction(scalar.value()) } else { scalar }
}

fn is_fraction(datatype: &str) -> bool {
    datatype.starts_with("FP") || datatype.starts_with("BF")
}

fn flatten<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, into)),
        other => into.push(other),
    }
}

/// Type, shape, then each element; and rows of scores along the last axis.
pub(crate) fn compare(used: &Tensor, candidate: &Tensor, place: &str, tolerance: f64, found: &mut Found) {
    if used.datatype != candidate.datatype {
        let (used, candidate) = (used.datatype.clone(), candidate.datatype.clone());
        return found.note(place, What::Type { used, candidate });
    }
    if used.shape != candidate.shape {
        let (used, candidate) = (used.shape.clone(), candidate.shape.clone());
        return found.note(place, What::Shape { used, candidate });
    }
    if used.data.len() != candidate.data.len() {
        let (used, candidate) = (used.data.len(), candidate.data.len());
        return found.note(place, What::Length { used, candidate });
    }
    let element = |index: usize| format!("{place}/{index}");
    match (&used.data, &candidate.data) {
        (Data::Numbers(one), Data::Numbers(other)) => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                found.compare_numbers(one.gap(*other, tolerance), || element(index));
            }
            // With one axis they are the answers to several instances, and nobody's scores.
            let row = used.shape.last().filter(|_| 2 <= used.shape.len()).and_then(|row| usize::try_from(*row).ok());
            if let Some(row) = row.filter(|row| 2 <= *row && is_fraction(&used.datatype)) {
                for (one, other) in one.chunks_exact(row).zip(other.chunks_exact(row)) {
                    found.note_row(first_of(one) == first_of(other));
                }
            }
        }
        (Data::Flags(one), Data::Flags(other)) => {
            differing(one, other).for_each(|at| found.note(&element(at), What::Value))
        }
        (Data::Bytes(one), Data::Bytes(other)) => {
            differing(one, other).for_each(|at| found.note(&element(at), What::Value))
        }
        _ => found.note(place, What::Kind),
    }
}

fn differing<T: PartialEq>(one: &[T], other: &[T]) -> impl Iterator<Item = usize> {
    one.iter().zip(other).enumerate().filter(|(_, (one, other))| one != other).map(|(index, _)| index)
}
