//! V2 with [binary tensor data](https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md):
//! JSON first, then the tensors one after the other, little-endian, in the order in which the JSON names them.

use serde_json::Value;

use crate::Answer;
use crate::number::Scalar;
use crate::tensor::{Data, Tensor};

/// All outputs of an answer, binary or not; `None` if it is not as the protocol says.
pub(crate) fn read(answer: &Answer<'_>) -> Option<Vec<Tensor>> {
    let (json, mut rest) = match answer.json_bytes {
        Some(length) => answer.body.split_at_checked(length)?,
        None => (answer.body, &[][..]),
    };
    let json: Value = serde_json::from_slice(json).ok()?;
    let outputs: Vec<Tensor> =
        json.get("outputs")?.as_array()?.iter().map(|output| tensor_of(output, &mut rest)).collect::<Option<_>>()?;
    rest.is_empty().then_some(outputs)
}

/// An output; its bytes, if it has some, are taken from the front of `rest`.
pub(crate) fn tensor_of(output: &Value, rest: &mut &[u8]) -> Option<Tensor> {
    let name = output.get("name")?.as_str()?.to_owned();
    let datatype = output.get("datatype")?.as_str()?.to_owned();
    let shape = output.get("shape")?.as_array()?.iter().map(Value::as_i64).collect::<Option<Vec<_>>>()?;
    let size = output.get("parameters").and_then(|parameters| parameters.get("binary_data_size"));
    let data = match size {
        Some(size) => {
            let (own, others) = rest.split_at_checked(usize::try_from(size.as_u64()?).ok()?)?;
            *rest = others;
            decoded(own, &datatype)?
        }
        None => Data::of_json(output.get("data")?, &datatype)?,
    };
    Some(Tensor { name, datatype, shape, data })
}

fn decoded(bytes: &[u8], datatype: &str) -> Option<Data> {
    let numbers = match datatype {
        "BOOL" => return Some(Data::Flags(bytes.iter().map(|byte| *byte != 0).collect())),
        "BYTES" => return texts(bytes).map(Data::Bytes),
        "INT8" => whole(bytes, i8::from_le_bytes),
        "INT16" => whole(bytes, i16::from_le_bytes),
        "INT32" => whole(bytes, i32::from_le_bytes),
        "INT64" => whole(bytes, i64::from_le_bytes),
        "UINT8" => whole(bytes, u8::from_le_bytes),
        "UINT16" => whole(bytes, u16::from_le_bytes),
        "UINT32" => whole(bytes, u32::from_le_bytes),
        "UINT64" => whole(bytes, u64::from_le_bytes),
        "FP16" => fractions(bytes, |two| half(u16::from_le_bytes(two))),
        "BF16" => fractions(bytes, |two| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(two)) << 16))),
        "FP32" => fractions(bytes, |four| f64::from(f32::from_le_bytes(four))),
        "FP64" => fractions(bytes, f64::from_le_bytes),
        _ => return None,
    };
    numbers.map(Data::Numbers)
}

fn whole<const N: usize, T: Into<i128>>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Option<Vec<Scalar>> {
    elements(bytes, |element| Scalar::Whole(read(element).into()))
}

fn fractions<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Option<Vec<Scalar>> {
    elements(bytes, |element| Scalar::Fraction(read(element)))
}

/// `None` if the last element is cut.
fn elements<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> Scalar) -> Option<Vec<Scalar>> {
    let (all, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| all.iter().map(|element| read(*element)).collect())
}

/// Each with its length in four bytes before it.
fn texts(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        all.push(text.to_vec());
        bytes = rest;
    }
    Some(all)
}

/// [binary16](https://en.wikipedia.org/wiki/Half-precision_floating-point_format): a sign, 5 bits of exponent, 10 of
/// fraction.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(bits & 0x03ff);
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * 2_f64.powi(-24),
        0x1f if fraction == 0.0 => sign * f64::INFINITY,
        0x1f => f64::NAN,
        exponent => sign * (1024.0 + fraction) * 2_f64.powi(i32::from(exponent) - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_as_the_standard_says() {
        let known = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_953_125),
            (0x7bff, 65_504.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x0400, 6.103_515_625e-5),
            (0x7c00, f64::INFINITY),
        ];
        for (bits, value) in known {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
    }
}
