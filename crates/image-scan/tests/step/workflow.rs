//! The steps of the workflow that builds an index, run as they stand, against a bucket of our own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use saphyr::{LoadableYamlNode as _, Yaml};
use serde_json::{Value, json};
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::{Done, Files};

use crate::advised::advisory;
use crate::bench::{Bench, good, gzip, of_layers};
use crate::pushed::tar;

/// Files at an address of this machine, and what was asked for.
struct Bucket {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Bucket {
    /// Answers with these files; the first question about each with status 503.
    fn start(files: Vec<(&'static str, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &files, &seen);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, files: &[(&str, Vec<u8>)], asked: &Mutex<Vec<String>>) {
    let lines: Vec<_> = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map(Result::unwrap)
        .take_while(|line| !line.is_empty())
        .collect();
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let mut asked = asked.lock().unwrap();
    let is_first = !asked.contains(&path);
    let file = files.iter().find(|(name, _)| path == format!("/{name}/all.zip"));
    asked.push(path);
    let (status, body) = match file {
        Some(_) if is_first => ("503 Service Unavailable", &b"busy"[..]),
        Some((_, bytes)) => ("200 OK", &bytes[..]),
        None => ("404 Not Found", &b"no such file"[..]),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
}

fn zipped(records: &[Value]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (number, record) in records.iter().enumerate() {
        archive.start_file(format!("{number}.json"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(record.to_string().as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// The script of the step with this name.
fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/workflows/advisories.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let workflow = &Yaml::load_from_str(&text).unwrap()[0];
    let steps = workflow["jobs"]["build"]["steps"].as_sequence().unwrap();
    let is_named = |step: &&Yaml<'_>| step.as_mapping_get("name").and_then(Yaml::as_str) == Some(name);
    steps.iter().find(is_named).unwrap()["run"].as_str().unwrap().to_owned()
}

/// Runs a step as the runner does where it says `shell: bash`.
fn run(bench: &Bench, name: &str, vars: &[(&str, &str)]) -> Done {
    let files = Files::new();
    let mut command = Command::new("bash");
    files.step(&mut command, [("SHIPKIT_NOW", "2026-05-06T07:08:09Z")]);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.env("FOLDER", bench.path().join("advisories"));
    command.env("PROGRAMS", Path::new(env!("CARGO_BIN_EXE_image-scan")).parent().unwrap());
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script(name)]);
    command.envs(vars.iter().copied()).current_dir(bench.path()).stdin(Stdio::null());
    files.done(command.output().unwrap())
}

fn npm() -> Vec<u8> {
    let events = json!([{"introduced": "0"}, {"fixed": "2.0.0"}]);
    zipped(&[advisory("GHSA-1", ("npm", "old"), "HIGH", &events)])
}

#[test]
fn it_downloads_each_archive_once_builds_the_index_and_tells_what_to_write() {
    let events = json!([{"introduced": "0"}]);
    let rocky = [advisory("RLSA-1", ("Rocky Linux:9", "a"), "", &events)];
    let bucket = Bucket::start(vec![("npm", npm()), ("Rocky%20Linux", zipped(&rocky))]);
    let registry = Registry::start(Options::default());
    let bench = Bench::new();
    let to = format!("{}/advisories:latest", registry.host());
    let ecosystems = "npm\nRocky Linux:9\n\nnpm\n";
    run(&bench, "download", &[("BUCKET", &bucket.address), ("ECOSYSTEMS", ecosystems)]).check(0, "");
    let [npm, rocky] = ["/npm/all.zip", "/Rocky%20Linux/all.zip"];
    assert_eq!(bucket.asked(), [npm, npm, rocky, rocky], "a busy bucket is asked again");
    let once = "npm\nRocky Linux:9\n\n";
    let done = run(&bench, "build and store", &[("ECOSYSTEMS", once), ("REPOSITORY", &to)]);
    done.check(0, " B for npm, Rocky Linux:9 is `");
    let index = done.output("index");
    assert!(done.summary.contains(&format!("\n    advisories: {index}\n")), "{}", done.summary);
    // What it tells to write is what judges.
    let layer = tar("app/node_modules/old/package.json", r#"{"name": "old", "version": "1.0.0"}"#);
    let digest = registry.seed_image("shop/api", &of_layers(&good(), &[&layer]), &[&gzip(&layer)]);
    let image = format!("{}/shop/api@{digest}", registry.host());
    let (_, lines) = done.summary.split_once("```yaml\n").unwrap();
    let (lines, _) = lines.split_once("```").unwrap();
    let judged = Bench::with_config(&format!("services: {{api: {{build: {{}}}}}}\n{lines}"));
    judged.step(&[("INPUT_IMAGE", &image)]).check(1, "first GHSA-1 in old 1.0.0, fixed in 2.0.0");
}

#[test]
fn what_cannot_be_downloaded_ends_it() {
    let bucket = Bucket::start(vec![("npm", npm())]);
    let bench = Bench::new();
    let download = |bucket: &str, ecosystems: &str| {
        run(&bench, "download", &[("BUCKET", bucket), ("ECOSYSTEMS", ecosystems)])
    };
    download(&bucket.address, "Alpine\nnpm\n").check(22, "404");
    assert_eq!(bucket.asked(), ["/Alpine/all.zip"], "nothing after the first that fails");
    download(&bucket.address, "../npm\n").check(2, "../npm is no ecosystem");
    download("http://example.com", "npm\n").check(2, "the bucket has to be an https address");
    download("file:///etc", "npm\n").check(2, "the bucket has to be an https address");
    assert_eq!(bucket.asked().len(), 1);
}
