//! A record that no client library lets one write: its header's name is not text. By hand, over the wire.
//!
//! Kafka protocol: Produce version 3, record batch version 2 (<https://kafka.apache.org/protocol>).

use std::io::{Read, Write};
use std::net::TcpStream;

/// Appends one record with that header to partition 0, which the only broker leads.
pub(crate) fn produce_with_raw_header_name(bootstrap_servers: &str, topic: &str, name: &[u8]) {
    let batch = batch(&record(name));
    let mut request = Vec::new();
    // Produce, version 3, correlation id, no client id, no transaction, acks of all, time-out; one topic, one
    // partition.
    request.extend(0_i16.to_be_bytes());
    request.extend(3_i16.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(10_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend(i32::try_from(batch.len()).unwrap().to_be_bytes());
    request.extend(batch);
    let mut connection = TcpStream::connect(bootstrap_servers).unwrap();
    connection.write_all(&i32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
    connection.write_all(&request).unwrap();
    let mut size = [0; 4];
    connection.read_exact(&mut size).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    connection.read_exact(&mut answer).unwrap();
    // Correlation id, one topic with its name, one partition with its number; then the error.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[at..at + 2], [0, 0], "the broker refuses the record: {answer:?}");
}

fn record(name: &[u8]) -> Vec<u8> {
    let mut record = vec![0];
    for number in [0, 0, -1] {
        varint(&mut record, number);
    }
    varint(&mut record, 1);
    record.push(b'x');
    varint(&mut record, 1);
    for part in [name, b"value"] {
        varint(&mut record, i64::try_from(part.len()).unwrap());
        record.extend(part);
    }
    let mut whole = Vec::new();
    varint(&mut whole, i64::try_from(record.len()).unwrap());
    whole.extend(record);
    whole
}

fn varint(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn batch(record: &[u8]) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    let mut body = Vec::new();
    body.extend(0_i16.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend(now.to_be_bytes());
    body.extend(now.to_be_bytes());
    body.extend((-1_i64).to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend((-1_i32).to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(record);
    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes());
    batch.extend(i32::try_from(4 + 1 + 4 + body.len()).unwrap().to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&body).to_be_bytes());
    batch.extend(body);
    batch
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1)))
    })
}
