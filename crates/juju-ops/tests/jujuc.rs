//! The protocol of the agent's socket, against recordings of Go programs and against noise.

use juju_ops::{
    ToolOutput,
    jujuc::{Call, Client, LIMIT, NO_STDIN, ProtocolError, Reply, Server},
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;

/// Conversations between real hook tools and the agent of Juju 3.6.26.
const JUJU: &str = include_str!("recorded/jujuc-wire.json");
/// A conversation whose structs have other fields as well; see the file.
const ODD: &str = include_str!("recorded/jujuc-odd.json");

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// One exchange of a recorded conversation: what the tool sent and what the agent answered.
struct Exchange {
    call: Call,
    sent: Vec<u8>,
    reply: Reply,
    answered: Vec<u8>,
}

fn done(code: i32, stdout: &str, stderr: &str) -> Reply {
    Reply::Done(ToolOutput { code, stdout: stdout.into(), stderr: stderr.into() })
}

/// The recorded conversations, one connection each.
fn recorded() -> Vec<(String, Vec<Exchange>)> {
    let file: Value = serde_json::from_str(JUJU).unwrap();
    let frame = |frame: &Value| -> Vec<u8> {
        frame["messages"].as_array().unwrap().iter().flat_map(|m| bytes(m["hex"].as_str().unwrap())).collect()
    };
    let case = |case: &Value| {
        let name = text(&case["name"]);
        let request = &case["request"];
        let stdin = request["stdin"].as_str();
        let frames = case["frames"].as_array().unwrap();
        let exchanges = frames.chunks(2).enumerate().map(|(round, pair)| {
            let stderr = text(&case["stderr"]);
            let reply = if stdin.is_some() && round == 0 {
                Reply::Error(NO_STDIN.to_owned())
            } else if name.starts_with("rpc-error") {
                Reply::Error(stderr.trim_end().strip_prefix("ERROR ").unwrap().to_owned())
            } else {
                let code = i32::try_from(case["exit"].as_i64().unwrap()).unwrap();
                done(code, case["stdout"].as_str().unwrap(), &stderr)
            };
            let call = Call {
                context_id: text(&request["ContextId"]),
                dir: text(&request["Dir"]),
                command: text(&request["CommandName"]),
                args: request["Args"].as_array().unwrap().iter().map(text).collect(),
                stdin: stdin.filter(|_| round > 0).map(Into::into),
                token: text(&request["Token"]),
            };
            Exchange { call, sent: frame(&pair[0]), reply, answered: frame(&pair[1]) }
        });
        let exchanges: Vec<_> = exchanges.collect();
        (name, exchanges)
    };
    file["cases"].as_array().unwrap().iter().map(case).collect()
}

#[test]
fn calls_and_answers_have_the_bytes_of_gos() {
    let conversations = recorded();
    assert_eq!(conversations.len(), 11);
    for (name, exchanges) in conversations {
        let (mut client, mut server) = (Client::new(), Server::new());
        for (round, Exchange { call, sent, reply, answered }) in exchanges.into_iter().enumerate() {
            assert_eq!(client.send(&call), Ok(round as u64));
            assert_eq!(client.take_output(), sent, "{name}: call");
            server.push(&sent);
            assert_eq!(server.receive(), Ok(Some((round as u64, call))), "{name}");
            assert_eq!(server.receive(), Ok(None));
            server.reply(round as u64, &reply).unwrap();
            assert_eq!(server.take_output(), answered, "{name}: answer");
            client.push(&answered);
            assert_eq!(client.receive(), Ok(Some((round as u64, reply))), "{name}");
            assert_eq!(client.receive(), Ok(None));
        }
    }
}

/// Everything a server understands of some portions.
fn received<'a>(portions: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<(u64, Call)>, ProtocolError> {
    let mut server = Server::new();
    let mut calls = Vec::new();
    for portion in portions {
        server.push(portion);
        while let Some(call) = server.receive()? {
            calls.push(call);
        }
    }
    Ok(calls)
}

/// Everything a client that made `open` calls understands of some portions.
fn answers<'a>(
    open: usize,
    portions: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<(u64, Reply)>, ProtocolError> {
    let mut client = Client::new();
    for _ in 0..open {
        client.send(&Call::default()).unwrap();
    }
    let mut replies = Vec::new();
    for portion in portions {
        client.push(portion);
        while let Some(reply) = client.receive()? {
            replies.push(reply);
        }
    }
    Ok(replies)
}

#[test]
fn it_does_not_matter_where_a_stream_is_cut() {
    for (name, exchanges) in recorded() {
        let sent: Vec<u8> = exchanges.iter().flat_map(|exchange| exchange.sent.clone()).collect();
        let answered: Vec<u8> = exchanges.iter().flat_map(|exchange| exchange.answered.clone()).collect();
        let (calls, replies): (Vec<_>, Vec<_>) =
            (0..).zip(&exchanges).map(|(seq, e)| ((seq, e.call.clone()), (seq, e.reply.clone()))).unzip();
        let two = |bytes: &[u8], at| [bytes[..at].to_vec(), bytes[at..].to_vec()];
        for at in 0..=sent.len() {
            let portions = two(&sent, at);
            assert_eq!(received(portions.iter().map(Vec::as_slice)).as_ref(), Ok(&calls), "{name} at {at}");
        }
        for at in 0..=answered.len() {
            let portions = two(&answered, at);
            let found = answers(exchanges.len(), portions.iter().map(Vec::as_slice));
            assert_eq!(found.as_ref(), Ok(&replies), "{name} at {at}");
        }
        assert_eq!(received(sent.chunks(1)), Ok(calls), "{name} byte by byte");
        assert_eq!(answers(exchanges.len(), answered.chunks(1)), Ok(replies), "{name} byte by byte");
    }
}

fn odd() -> (Vec<u8>, Vec<u8>) {
    let file: Value = serde_json::from_str(ODD).unwrap();
    (bytes(file["client"].as_str().unwrap()), bytes(file["server"].as_str().unwrap()))
}

#[test]
fn fields_are_found_by_name_among_others_of_every_kind() {
    let (client, server) = odd();
    let call = |args: &[&str]| Call {
        context_id: "peer".into(),
        dir: "/".into(),
        command: "echo".into(),
        args: args.iter().map(ToString::to_string).collect(),
        ..Call::default()
    };
    let calls = vec![(0, call(&[])), (1, call(&["a", "b"]))];
    assert_eq!(received([client.as_slice()]).as_ref(), Ok(&calls));
    assert_eq!(received(client.chunks(1)), Ok(calls));
    let replies = vec![(0, done(0, "", "echo")), (1, done(2, "a b", "echo"))];
    assert_eq!(answers(2, [server.as_slice()]).as_ref(), Ok(&replies));
    assert_eq!(answers(2, server.chunks(1)), Ok(replies));
}

#[test]
fn what_is_no_method_of_agents_is_answered_here() {
    let mut client = Client::new();
    client.send(&Call::default()).unwrap();
    client.send(&Call { command: "x".into(), ..Call::default() }).unwrap();
    let sent = client.take_output();
    let method = |from: &[u8], to: &[u8]| {
        let at = sent.windows(from.len()).position(|window| window == from).unwrap();
        [&sent[..at], to, &sent[at + from.len()..]].concat()
    };
    for (other, reason) in [
        ("Jujuc.Next", "rpc: can't find method Jujuc.Next"),
        ("Agent.Main", "rpc: can't find service Agent.Main"),
        ("Jujuc_Main", "rpc: service/method request ill-formed: Jujuc_Main"),
    ] {
        let mut server = Server::new();
        server.push(&method(b"Jujuc.Main", other.as_bytes()));
        assert_eq!(server.receive().unwrap().map(|(seq, call)| (seq, call.command)), Some((1, "x".into())));
        assert_eq!(answers(2, [server.take_output().as_slice()]), Ok(vec![(0, Reply::Error(reason.into()))]));
    }
}

#[test]
fn answers_find_their_calls_in_any_order_and_once() {
    let (mut client, mut server) = (Client::new(), Server::new());
    for name in ["a", "b", "c"] {
        client.send(&Call { command: name.into(), ..Call::default() }).unwrap();
    }
    server.push(&client.take_output());
    for _ in 0..3 {
        server.receive().unwrap().unwrap();
    }
    for seq in [2, 0, 1] {
        server.reply(seq, &done(0, &seq.to_string(), "")).unwrap();
    }
    let replies = server.take_output();
    client.push(&replies);
    for seq in [2, 0, 1] {
        assert_eq!(client.receive(), Ok(Some((seq, done(0, &seq.to_string(), "")))));
    }
    server.reply(1, &done(0, "", "")).unwrap();
    client.push(&server.take_output());
    assert_eq!(client.receive(), Err(ProtocolError::NotOpen(1)));
    // What follows an error means nothing.
    client.push(&replies);
    assert_eq!(client.receive(), Err(ProtocolError::NotOpen(1)));
}

#[test]
fn what_is_too_long_is_neither_sent_nor_awaited() {
    let mut client = Client::new();
    let long = Call { stdin: Some(vec![b'x'; LIMIT]), ..Call::default() };
    assert_eq!(client.send(&long), Err(ProtocolError::Limit("bytes of a message")));
    assert!(client.take_output().is_empty());
    // Nothing of the failed attempt is left behind: the next call is whole, and the first.
    assert_eq!(client.send(&Call::default()), Ok(0));
    assert_eq!(received([client.take_output().as_slice()]), Ok(vec![(0, Call::default())]));

    let mut server = Server::new();
    let reply = Reply::Done(ToolOutput { stdout: vec![b'x'; LIMIT], ..ToolOutput::default() });
    assert_eq!(server.reply(0, &reply), Err(ProtocolError::Limit("bytes of a message")));
    assert!(server.take_output().is_empty());

    // A length is believed only as far as anyone may go, and nothing is set aside for it.
    for length in [&[0xfc, 0x04, 0x00, 0x00, 0x01][..], &[0xf8, 255, 255, 255, 255, 255, 255, 255, 255]] {
        assert_eq!(received([length]), Err(ProtocolError::Limit("bytes of a message")));
    }
    assert_eq!(received([&[0xf7][..]]), Err(ProtocolError::Malformed("a number has more than eight bytes")));
}

/// A message, from its parts.
fn message(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

/// The definition of type 64 to 128 as a list of type 65.
fn list(id: u8) -> Vec<u8> {
    message(&[&[0xff, id.wrapping_mul(2).wrapping_sub(1), 2, 2, 0xff, 130, 0, 0]])
}

#[test]
fn definitions_and_nesting_are_bounded() {
    let many: Vec<u8> = (64..=128).flat_map(list).collect();
    assert_eq!(received([many.as_slice()]), Err(ProtocolError::Limit("definitions of types")));
    assert_eq!(received([&many[..many.len() - 9]]), Ok(vec![]));
    let twice = [list(65), list(65)].concat();
    assert_eq!(received([twice.as_slice()]), Err(ProtocolError::Malformed("a type is defined twice")));

    // A struct, type 64, whose only field X is a list of lists of lists, without end.
    let lists = |depth: usize| {
        let header = message(&[&[0x7f, 3, 2, 1, 1, 1, b'X', 1, 0xff, 130, 0, 0, 0]]);
        [header, list(65), message(&[&[0xff, 0x80, 1], &vec![1; depth], &[0, 0]])].concat()
    };
    assert_eq!(received([lists(30).as_slice()]), Ok(vec![]), "it is passed over");
    assert_eq!(received([lists(40).as_slice()]), Err(ProtocolError::Limit("nesting")));

    let mut client = Client::new();
    client.send(&Call { args: vec![String::new(); 70_000], ..Call::default() }).unwrap();
    let crowd = received([client.take_output().as_slice()]);
    assert_eq!(crowd, Err(ProtocolError::Limit("items of a list")));
}

#[test]
fn texts_and_inputs_do_not_show_in_debug_output() {
    let call = Call {
        command: "secret-add".into(),
        args: vec!["password=hunter22".into()],
        stdin: Some(b"hunter22".to_vec()),
        token: "hunter22".into(),
        ..Call::default()
    };
    let shown = format!("{call:?} {:?}", done(0, "hunter22", "hunter22"));
    assert!(shown.contains("secret-add") && !shown.contains("hunter22"), "{shown}");
}

fn call() -> impl Strategy<Value = Call> {
    let word = "[ -~é\\PC]{0,40}";
    (word, word, word, vec(word, 0..6), option::of(vec(any::<u8>(), 0..400)), word).prop_map(
        |(context_id, dir, command, args, stdin, token)| Call {
            context_id,
            dir,
            command,
            args,
            stdin,
            token,
        },
    )
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        (any::<i32>(), vec(any::<u8>(), 0..400), vec(any::<u8>(), 0..400))
            .prop_map(|(code, stdout, stderr)| Reply::Done(ToolOutput { code, stdout, stderr })),
        "[ -~é]{1,200}".prop_map(Reply::Error),
    ]
}

/// Streams with a few bytes replaced, left out or repeated.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let (client, server) = odd();
    let mut streams = vec![client, server];
    for (_, exchanges) in recorded() {
        streams.push(exchanges.iter().flat_map(|e| e.sent.clone()).collect());
        streams.push(exchanges.iter().flat_map(|e| e.answered.clone()).collect());
    }
    let blow = (any::<prop::sample::Index>(), any::<u8>(), 0..4u8);
    (prop::sample::select(streams), vec(blow, 1..6)).prop_map(|(mut stream, blows)| {
        for (at, byte, how) in blows {
            let at = at.index(stream.len());
            match how {
                0 | 1 => stream[at] = byte,
                2 => drop(stream.drain(at..(at + usize::from(byte)).min(stream.len() - 1))),
                _ => stream.extend_from_within(at..),
            }
        }
        stream
    })
}

proptest! {
    #[test]
    fn calls_arrive_as_they_were_made(calls in vec(call(), 1..5)) {
        let mut client = Client::new();
        for call in &calls {
            client.send(call).unwrap();
        }
        let expected: Vec<_> = (0..).zip(calls).collect();
        prop_assert_eq!(received(client.take_output().chunks(7)), Ok(expected));
    }

    #[test]
    fn answers_arrive_as_they_were_given(replies in vec(reply(), 1..5)) {
        let mut server = Server::new();
        for (seq, reply) in (0..).zip(&replies) {
            server.reply(seq, reply).unwrap();
        }
        let count = replies.len();
        let expected: Vec<_> = (0..).zip(replies).collect();
        prop_assert_eq!(answers(count, server.take_output().chunks(7)), Ok(expected));
    }

    #[test]
    fn noise_is_an_error_or_nothing(noise in vec(any::<u8>(), 0..600)) {
        let _ = received([noise.as_slice()]);
        let _ = answers(3, [noise.as_slice()]);
    }

    #[test]
    fn damaged_streams_are_an_error_or_something_else(stream in damaged()) {
        let whole = (received([stream.as_slice()]), answers(3, [stream.as_slice()]));
        let pieces = (received(stream.chunks(3)), answers(3, stream.chunks(3)));
        prop_assert_eq!(whole, pieces);
    }
}
