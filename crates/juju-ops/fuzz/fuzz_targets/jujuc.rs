//! Both sides of a connection get arbitrary bytes, at once and in pieces: no panic, and the same either way.

#![no_main]

use juju_ops::jujuc::{Call, Client, Reply, Server};
use libfuzzer_sys::fuzz_target;

fn serve<'a>(portions: impl Iterator<Item = &'a [u8]>) -> Vec<(u64, Call)> {
    let mut server = Server::new();
    let mut calls = Vec::new();
    for portion in portions {
        server.push(portion);
        while let Ok(Some(call)) = server.receive() {
            calls.push(call);
        }
    }
    calls
}

fn ask<'a>(portions: impl Iterator<Item = &'a [u8]>) -> Vec<(u64, Reply)> {
    let mut client = Client::new();
    for _ in 0..4 {
        client.send(&Call::default()).expect("an empty call is short");
    }
    let mut replies = Vec::new();
    for portion in portions {
        client.push(portion);
        while let Ok(Some(reply)) = client.receive() {
            replies.push(reply);
        }
    }
    replies
}

fuzz_target!(|noise: &[u8]| {
    assert_eq!(serve([noise].into_iter()), serve(noise.chunks(5)));
    assert_eq!(ask([noise].into_iter()), ask(noise.chunks(5)));
});
