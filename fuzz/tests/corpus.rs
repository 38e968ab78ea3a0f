//! What the fuzzer starts from, and what it once found, goes through the same functions.

use std::fs;
use std::path::PathBuf;

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "corpus", target].iter().collect()
}

/// Replays the files of one target. The name of the file shows in the output of a test that fails.
fn replay(name: &str) {
    let (_, property) =
        fuzz::TARGETS.iter().find(|(known, _)| *known == name).expect("there is such a target");
    let mut files: Vec<_> = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "only {} files", files.len());
    for file in files {
        println!("{}", file.display());
        property(&fs::read(file).unwrap());
    }
    // What no corpus has to have.
    for input in [&b""[..], b"\xff", b"\0", &[0xff; 64], &[b'['; 4096]] {
        property(input);
    }
}

macro_rules! replays {
    ($($name:ident: $target:literal),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                replay($target);
            }
        )*

        #[test]
        fn every_target_has_a_test_a_program_and_a_corpus() {
            let known: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(known, [$($target),*]);
            let names = |folder: PathBuf| {
                let mut names: Vec<String> = fs::read_dir(folder)
                    .unwrap()
                    .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                    .collect();
                names.sort();
                names
            };
            assert_eq!(names(folder("")), known);
            assert_eq!(names([env!("CARGO_MANIFEST_DIR"), "targets"].iter().collect()), known);
        }
    };
}

replays! {
    certificates_of_the_corpus_are_survived: "certificates",
    nothing_in_the_corpus_adds_anything_to_what_the_charm_writes: "charm",
    databags_of_the_corpus_are_survived: "databags",
    messages_of_the_corpus_are_survived: "jujuc",
    log_queries_of_the_corpus_have_all_matchers: "logql",
    answers_of_pebble_in_the_corpus_are_survived: "pebble",
    metric_queries_of_the_corpus_have_all_matchers: "promql",
    urls_of_the_corpus_leave_their_place_nowhere: "urls",
}
