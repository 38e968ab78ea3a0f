//! The agent's socket.

use juju_ops::jujuc::{Call, Client, Reply, Server};

/// Both sides of a connection to the agent understand the same of some bytes, whether these come at once or in pieces.
pub fn jujuc(noise: &[u8]) {
    assert_eq!(serve([noise].into_iter()), serve(noise.chunks(5)));
    assert_eq!(ask([noise].into_iter()), ask(noise.chunks(5)));
}

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
