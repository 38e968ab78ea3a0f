//! What holds for every codec.

use proptest::collection::vec;
use proptest::prelude::*;

use super::otlp::Encoding;
use super::{Batch, DecodeError, Generator, Span, jaeger, otlp, zipkin};

type Encode = fn(&Batch) -> Vec<u8>;
type Decode = fn(&[u8]) -> Result<Vec<Batch>, DecodeError>;

const CODECS: [(&str, Encode, Decode); 5] = [
    (
        "otlp protobuf",
        |batch| otlp::encode(batch, Encoding::Protobuf),
        |bytes| otlp::decode(bytes, Encoding::Protobuf),
    ),
    ("otlp json", |batch| otlp::encode(batch, Encoding::Json), |bytes| otlp::decode(bytes, Encoding::Json)),
    ("zipkin", zipkin::encode, zipkin::decode),
    ("jaeger thrift", jaeger::encode_thrift, |bytes| jaeger::decode_thrift(bytes).map(|batch| vec![batch])),
    ("jaeger protobuf", jaeger::encode_request, jaeger::decode_request),
];

/// Attributes as every protocol carries them: Zipkin keeps them in a map.
fn attributes() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::btree_map("[a-z.]{1,12}", ".{0,12}", 0..4).prop_map(|map| map.into_iter().collect())
}

fn span() -> impl Strategy<Value = Span> {
    // Times in whole microseconds, up to some hundred years, which is what all protocols can tell.
    let micros = || (0..1_u64 << 53).prop_map(|micros| micros * 1000);
    (1_u128.., 1_u64.., proptest::option::of(1_u64..), ".{0,20}", micros(), micros(), attributes()).prop_map(
        |(trace_id, span_id, parent_id, name, start, duration, attributes)| Span {
            trace_id,
            span_id,
            parent_id,
            name,
            start,
            duration,
            attributes,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    ("[a-z-]{1,10}", attributes(), vec(span(), 1..6)).prop_map(|(service, resource, spans)| Batch {
        service,
        resource,
        spans,
    })
}

proptest! {
    #[test]
    fn a_batch_survives_every_protocol(mut batch in batch()) {
        for (name, encode, decode) in CODECS {
            if name == "zipkin" {
                batch.resource.clear();
            }
        let read = decode(&encode(&batch));
            prop_assert_eq!(read, Ok(vec![batch.clone()]), "{}", name);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..300)) {
        for (_, _, decode) in CODECS {
            let _ = decode(&bytes);
        }
    }

    /// Random bytes hardly get past the first field. Damaged good ones do.
    #[test]
    fn no_damage_makes_a_decoder_panic(
        batch in batch(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        for (_, encode, decode) in CODECS {
            let mut bytes = encode(&batch);
            for (place, byte) in &damage {
                *place.get_mut(&mut bytes) = *byte;
            }
            let _ = decode(&bytes);
            let _ = decode(&bytes[..cut.index(bytes.len())]);
        }
    }
}

#[test]
fn resource_attributes_become_tags_in_zipkin() {
    let batch = Batch {
        resource: vec![("model".to_owned(), "demo".to_owned())],
        ..Generator::new("shop", Vec::new(), Some(1), std::time::UNIX_EPOCH).batch(2)
    };
    let read = zipkin::decode(&zipkin::encode(&batch)).unwrap();
    assert!(read[0].spans.iter().all(|span| span.attributes.contains(&batch.resource[0])));
}

#[test]
fn identifiers_of_zero_or_of_another_length_are_refused() {
    let mut batch = Generator::new("shop", Vec::new(), Some(1), std::time::UNIX_EPOCH).batch(1);
    batch.spans[0].trace_id = 0;
    for (name, encode, decode) in CODECS {
        assert!(decode(&encode(&batch)).is_err(), "{name}");
    }
    for id in ["", "0", "xyz", "+1", "123456789012345678901234567890123"] {
        let json = format!(r#"[{{"traceId": "{id}", "id": "1"}}]"#);
        let error = zipkin::decode(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("traceId must be 1 to 32 hexadecimal digits"), "{error}");
    }
    let short =
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102","spanId":"0102030405060708"}]}]}]}"#;
    let error = otlp::decode(short.as_bytes(), Encoding::Json).unwrap_err().to_string();
    assert!(error.contains("got 2 bytes"), "{error}");
}
