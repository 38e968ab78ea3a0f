//! A name server that knows this machine's workers and nobody else.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

/// Answers until the program ends. Unknown names do not exist; known ones have one address and no other records.
pub(crate) fn serve(names: BTreeMap<String, Ipv4Addr>) -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..length], &names) {
                // Whoever asked asks again.
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(address)
}

/// The answer to a query with one question (RFC 1035 §4); `None` if it makes no sense.
fn answer(query: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = query.get(at..at + 2)?;
    let question = query.get(12..at + 4)?;
    let found = names.get(&labels.join("."));
    let address = found.filter(|_| kind == [0, 1]);
    // A response, recursion available; "no such name" where there is none.
    let flags = if found.is_some() { [0x81, 0x80] } else { [0x81, 0x83] };
    let mut answer =
        [&query[..2], &flags, &[0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0], question].concat();
    if let Some(address) = address {
        // The name of the question, an address, for five seconds.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
