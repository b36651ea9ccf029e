//! 3D models of rooms: what is taken, what is refused, and what stays on the disk.

use crate::access::stage::{Credentials, Stage, of_site, operator, viewer};
use crate::glb;
use crate::harness::{PATIENCE, Server, Wire, client, faults, problem};
use pretty_assertions::assert_eq;
use reqwest::Response;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::time::timeout;

const BUREAU: &str = "/api/models?enseigne=Maison&salle=Bureau";

async fn put(server: &Server, path: &str, file: Vec<u8>) -> Response {
    let request = client()
        .put(server.url(path))
        .header("content-type", "model/gltf-binary");
    request.body(file).send().await.unwrap()
}

/// Uploads a model that must be taken.
async fn taken(server: &Server, path: &str, file: Vec<u8>) -> Value {
    let response = put(server, path, file).await;
    let status = response.status();
    let answer = response.text().await.unwrap();
    assert!(status.is_success(), "{status} {answer}");
    serde_json::from_str(&answer).unwrap()
}

fn models_folder(server: &Server) -> PathBuf {
    server.folder().join("iaqverse.db-models")
}

/// Every file below a folder and its size, but those of the database.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files.extend(self::files(&path));
        } else if !name.to_str().unwrap().starts_with("iaqverse.db") {
            // One that is gone by now was there all the same.
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            files.insert(path, bytes);
        }
    }
    files
}

/// Nothing is there, neither in the folder nor beside it, nor in the list.
async fn assert_untouched(server: &Server) {
    assert_eq!(files(server.folder()), BTreeMap::new());
    assert_eq!(server.get_json("/api/models").await, json!([]));
}

#[tokio::test]
async fn a_model_comes_back_as_it_went_in() {
    let server = Server::start();
    let file = glb::triangle_and(100_000);
    let response = put(&server, BUREAU, file.clone()).await;
    assert_eq!(response.status(), 201);
    let model: Value = response.json().await.unwrap();
    let id = model["id"].as_str().unwrap();
    assert_eq!(
        (
            &model["enseigne"],
            &model["salle"],
            &model["bytes"],
            &model["created_by"]
        ),
        (
            &json!("Maison"),
            &json!("Bureau"),
            &json!(file.len()),
            &json!("anyone")
        )
    );
    assert!(
        model["created_at"].as_str().unwrap().ends_with('Z'),
        "{model}"
    );
    assert_eq!(model["url"], format!("/api/models/{id}"));
    assert_eq!(server.get_json("/api/models").await, json!([model]));
    let there = files(server.folder());
    assert_eq!(
        there.into_keys().collect::<Vec<_>>(),
        [models_folder(&server).join(format!("{id}.glb"))]
    );

    let answer = server.get(model["url"].as_str().unwrap()).await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(answer.status(), 200);
    assert_eq!(header("content-type"), "model/gltf-binary");
    assert_eq!(header("content-length"), file.len().to_string());
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(
        header("content-disposition"),
        format!("attachment; filename=\"{id}.glb\"")
    );
    assert_eq!(
        header("cache-control"),
        "private, max-age=31536000, immutable"
    );
    let tag = header("etag");
    assert!(answer.bytes().await.unwrap() == file);

    let again = client()
        .get(server.url(&format!("/api/models/{id}")))
        .header("if-none-match", tag);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(again.bytes().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_room_has_one_model() {
    let server = Server::start();
    let first = taken(&server, BUREAU, glb::triangle()).await;
    let same = put(&server, BUREAU, glb::triangle()).await;
    assert_eq!(same.status(), 200);
    assert_eq!(same.json::<Value>().await.unwrap()["id"], first["id"]);
    let second = put(&server, BUREAU, glb::triangle_and(8)).await;
    assert_eq!(second.status(), 200);
    let second: Value = second.json().await.unwrap();
    let other = "/api/models?enseigne=Maison&salle=Salon";
    let other = taken(&server, other, glb::triangle_and(8)).await;
    assert_ne!(second["id"], other["id"]);
    assert_eq!(server.get_json("/api/models").await, json!([second, other]));
    assert_eq!(files(server.folder()).len(), 2);
    problem(
        server.get(first["url"].as_str().unwrap()).await,
        404,
        "not_found",
    )
    .await;
}

#[tokio::test]
async fn what_is_removed_is_gone_from_the_disk_too() {
    let server = Server::start();
    let model = taken(&server, BUREAU, glb::triangle()).await;
    let url = server.url(model["url"].as_str().unwrap());
    let removed = client().delete(&url).send().await.unwrap();
    assert_eq!(removed.status(), 204);
    assert_untouched(&server).await;
    problem(
        client().delete(&url).send().await.unwrap(),
        404,
        "not_found",
    )
    .await;
}

#[rstest]
#[case::parent("../../x.glb")]
#[case::escaped_parent("%2e%2e%2f%2e%2e%2fx.glb")]
#[case::absolute("/etc/passwd")]
#[case::absolute_escaped("%2Fetc%2Fpasswd")]
#[case::backslashes("..%5C..%5Cx.glb")]
#[case::markup("%3Cscript%3E")]
#[tokio::test]
async fn no_name_of_a_room_is_a_path(#[case] hostile: &str) {
    let server = Server::start();
    for path in [
        format!("/api/models?enseigne={hostile}&salle=Bureau"),
        format!("/api/models?enseigne=Maison&salle={hostile}"),
    ] {
        let model = taken(&server, &path, glb::triangle()).await;
        let id = model["id"].as_str().unwrap();
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id}"
        );
    }
    for (path, _) in files(server.folder()) {
        assert_eq!(path.parent(), Some(models_folder(&server).as_path()));
    }
    assert_eq!(files(server.folder()).len(), 2);
}

#[rstest]
#[case::no_room("/api/models?enseigne=Maison", "/salle", "required")]
#[case::no_site("/api/models?salle=Bureau", "/enseigne", "required")]
#[case::empty("/api/models?enseigne=&salle=Bureau", "/enseigne", "required")]
#[case::nul("/api/models?enseigne=Maison&salle=a%00b", "/salle", "bad_name")]
#[case::line_break("/api/models?enseigne=a%0Ab&salle=Bureau", "/enseigne", "bad_name")]
#[tokio::test]
async fn a_room_must_have_a_name(#[case] path: &str, #[case] pointer: &str, #[case] code: &str) {
    let server = Server::start();
    let refused = put(&server, path, glb::triangle()).await;
    let refused = problem(refused, 422, "bad_parameter").await;
    assert_eq!(faults(&refused["errors"]), [(pointer, code)]);
    assert_untouched(&server).await;
}

#[tokio::test]
async fn no_id_leads_out_of_the_folder() {
    let server = Server::start();
    let model = taken(&server, BUREAU, glb::triangle()).await;
    let id = model["id"].as_str().unwrap();
    let outside = models_folder(&server).join(format!("../{}.glb", "0".repeat(32)));
    std::fs::write(&outside, glb::triangle()).unwrap();
    std::fs::write(models_folder(&server).join("known.glb"), glb::triangle()).unwrap();
    for method in ["GET", "DELETE"] {
        for path in [
            "../../x.glb",
            "..%2f..%2fx.glb",
            "%2e%2e%2f%2e%2e%2fx.glb",
            "%2e%2e",
            "/etc/passwd",
            "%2Fetc%2Fpasswd",
            "known",
            "known.glb",
            &"0".repeat(32),
            &format!("../{}", "0".repeat(32)),
            &format!("{id}.glb"),
            &format!("{id}%00"),
            &format!("%00{id}"),
            &format!("./{id}"),
            &id.to_uppercase()
                .replace(|digit: char| digit.is_ascii_digit(), "A"),
        ] {
            let mut wire = Wire::open(server.address).await;
            wire.send(format!(
                "{method} /api/models/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            ))
            .await;
            let answer = wire.answer().await;
            assert!(
                matches!(answer.status, 400 | 404 | 405),
                "{method} {path}: {answer:?}"
            );
        }
    }
    assert_eq!(files(server.folder()).len(), 3);
    assert_eq!(server.get_json("/api/models").await, json!([model]));
}

fn with(name: &str, value: Value) -> Vec<u8> {
    let mut document = glb::document();
    document[name] = value;
    glb::of(&document.to_string(), &[0; 36])
}

fn polyglot() -> Vec<u8> {
    [
        b"<!doctype html><script>alert(1)</script>".to_vec(),
        glb::triangle(),
    ]
    .concat()
}

fn cut() -> Vec<u8> {
    glb::triangle()[..300].to_vec()
}

fn longer_than_declared() -> Vec<u8> {
    [glb::triangle(), vec![0; 4]].concat()
}

fn four_gib_declared() -> Vec<u8> {
    let mut file = glb::triangle();
    file[12..16].copy_from_slice(&0xffff_fffc_u32.to_le_bytes());
    file
}

fn deep() -> Vec<u8> {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    glb::of(
        &format!(r#"{{"asset":{{"version":"2.0"}},"extras":{deep}}}"#),
        &[],
    )
}

fn huge_json() -> Vec<u8> {
    let text = "x".repeat(5 * 1024 * 1024);
    with("extras", json!(text))
}

#[rstest]
#[case::html(b"<!doctype html><script>alert(1)</script>".to_vec(), "", "not_glb")]
#[case::polyglot(polyglot(), "", "not_glb")]
#[case::nothing(Vec::new(), "", "truncated")]
#[case::cut(cut(), "", "wrong_length")]
#[case::longer_than_declared(longer_than_declared(), "", "wrong_length")]
#[case::four_gib_declared(four_gib_declared(), "", "json_too_large")]
#[case::huge_json(huge_json(), "", "json_too_large")]
#[case::no_json(glb::of("{]", &[]), "", "not_json")]
#[case::external_buffer(with("buffers", json!([{"uri": "http://evil.example/a.bin", "byteLength": 1}])), "/buffers/0/uri", "external_uri")]
#[case::external_image(with("images", json!([{"uri": "data:,"}, {"uri": "../api/users"}])), "/images/1/uri", "external_uri")]
#[case::decoder(with("extensionsRequired", json!(["KHR_draco_mesh_compression"])), "/extensionsRequired/0", "unsupported_extension")]
#[case::version_1(with("asset", json!({"version": "1.0"})), "/asset/version", "bad_version")]
#[tokio::test]
async fn what_is_no_model_is_told_why(
    #[case] file: Vec<u8>,
    #[case] pointer: &str,
    #[case] code: &str,
) {
    let server = Server::start();
    let refused = problem(put(&server, BUREAU, file).await, 422, "bad_model").await;
    assert_eq!(faults(&refused["errors"]), [(pointer, code)]);
    assert_eq!(refused["offset"].is_u64(), pointer.is_empty(), "{refused}");
    assert_untouched(&server).await;
}

#[tokio::test]
async fn deep_json_is_refused_and_the_server_lives() {
    let server = Server::start();
    let refused = problem(put(&server, BUREAU, deep()).await, 422, "bad_model").await;
    assert_eq!(refused["errors"][0]["code"], "too_deep");
    assert!(server.panics().is_empty());
    assert_untouched(&server).await;
}

#[rstest]
#[case::none(&[], "unsupported_media_type")]
#[case::json(&[("content-type", "application/json")], "unsupported_media_type")]
#[case::form(&[("content-type", "multipart/form-data; boundary=x")], "unsupported_media_type")]
#[case::gzip(&[("content-type", "model/gltf-binary"), ("content-encoding", "gzip")], "unsupported_encoding")]
#[case::two(&[("content-type", "model/gltf-binary"), ("content-encoding", "identity, br")], "unsupported_encoding")]
#[tokio::test]
async fn another_type_of_body_is_refused(
    #[case] headers: &[(&'static str, &str)],
    #[case] code: &str,
) {
    let server = Server::start();
    let mut request = client().put(server.url(BUREAU)).body(glb::triangle());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    problem(request.send().await.unwrap(), 415, code).await;
    assert_untouched(&server).await;
}

/// Head of an upload.
fn head(path: &str, further: &str) -> String {
    format!(
        "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: model/gltf-binary\r\n{further}\r\n"
    )
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_anything_comes() {
    let server = Server::start();
    for length in ["33554433", "4294967296"] {
        let mut wire = Wire::open(server.address).await;
        wire.send(head(BUREAU, &format!("Content-Length: {length}\r\n")))
            .await;
        wire.answer().await.problem(413, "too_large");
    }
    assert_untouched(&server).await;
}

/// A chunk of a chunked body.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

#[tokio::test]
async fn a_body_without_a_length_is_measured_while_it_comes() {
    let server = Server::with(&[("IAQ_MODEL_BYTES_MAX", "2000")]);
    // What its header declares is too much already.
    let mut wire = Wire::open(server.address).await;
    wire.send(head(BUREAU, "Transfer-Encoding: chunked\r\n"))
        .await;
    wire.send(chunk(&glb::triangle_and(4000)[..1000])).await;
    wire.answer().await.problem(413, "too_large");
    // What comes is more than it declares.
    let mut wire = Wire::open(server.address).await;
    wire.send(head(BUREAU, "Transfer-Encoding: chunked\r\n"))
        .await;
    wire.send(chunk(&glb::triangle())).await;
    wire.send(chunk(&[0; 2000])).await;
    wire.answer().await.problem(413, "too_large");
    assert_untouched(&server).await;
}

#[tokio::test]
async fn large_models_take_no_memory() {
    const FLAT_KIB: u64 = 8 * 1024;
    let server = Server::start();
    let file = glb::triangle_and(31 * 1024 * 1024);
    drop(taken(&server, BUREAU, glb::triangle()).await);
    let before = server.peak_kib();
    for _ in 0..3 {
        let model = taken(&server, BUREAU, file.clone()).await;
        let answer = server.get(model["url"].as_str().unwrap()).await;
        assert!(answer.bytes().await.unwrap() == file);
    }
    let grown = server.peak_kib() - before;
    assert!(grown < FLAT_KIB, "{grown} KiB");
}

#[tokio::test]
async fn json_of_many_small_values_takes_little_more_memory_than_its_text() {
    const TEXT_AND_MORE_KIB: u64 = 20 * 1024;
    let server = Server::start();
    drop(taken(&server, BUREAU, glb::triangle()).await);
    let before = server.peak_kib();
    let many = "{},".repeat(1_390_000) + "{}";
    let text = format!(r#"{{"asset":{{"version":"2.0"}},"images":[{many}]}}"#);
    drop(taken(&server, BUREAU, glb::of(&text, &[])).await);
    let grown = server.peak_kib() - before;
    assert!(grown < TEXT_AND_MORE_KIB, "{grown} KiB");
}

#[tokio::test]
async fn all_models_together_have_a_limit() {
    let size = glb::triangle_and(1000).len();
    let quota = (2 * size).to_string();
    let server = Server::with(&[
        ("IAQ_MODELS_BYTES_MAX", &quota),
        ("IAQ_MODEL_BYTES_MAX", "1900"),
    ]);
    let path = |room: &str| format!("/api/models?enseigne=Maison&salle={room}");
    let first = taken(&server, &path("a"), glb::triangle_and(1000)).await;
    drop(taken(&server, &path("b"), glb::triangle_and(1000)).await);
    let full = put(&server, &path("c"), glb::triangle_and(1000)).await;
    problem(full, 409, "quota_exceeded").await;
    // Without a length as well.
    let mut wire = Wire::open(server.address).await;
    wire.send(head(&path("c"), "Transfer-Encoding: chunked\r\n"))
        .await;
    wire.send(chunk(&glb::triangle_and(1000))).await;
    wire.answer().await.problem(409, "quota_exceeded");
    assert_eq!(files(server.folder()).len(), 2);
    // It is counted again after a restart, and what is removed is free.
    let server = server.revive();
    let full = put(&server, &path("c"), glb::triangle()).await;
    problem(full, 409, "quota_exceeded").await;
    let url = server.url(first["url"].as_str().unwrap());
    assert_eq!(client().delete(url).send().await.unwrap().status(), 204);
    drop(taken(&server, &path("c"), glb::triangle_and(1000)).await);
}

#[tokio::test]
async fn two_uploads_at_once_are_enough() {
    let server = Server::start();
    let file = glb::triangle();
    let length = format!("Content-Length: {}\r\n", file.len());
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::open(server.address).await;
        wire.send(head(BUREAU, &length)).await;
        wire.send(&file[..100]).await;
        held.push(wire);
    }
    until_files(&server, 2).await;
    let third = put(&server, BUREAU, file.clone()).await;
    assert!(third.headers().contains_key("retry-after"));
    problem(third, 503, "too_many_uploads").await;
    // One that is broken off leaves nothing and makes room.
    held.pop();
    until_files(&server, 1).await;
    drop(taken(&server, BUREAU, file.clone()).await);
    let mut wire = held.pop().unwrap();
    wire.send(&file[100..]).await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(files(server.folder()).len(), 1);
}

/// Waits until so many files are there.
async fn until_files(server: &Server, count: usize) {
    let reached = async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(5));
        while files(server.folder()).len() != count {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap();
}

#[tokio::test]
async fn an_upload_has_its_time() {
    let server = Server::with(&[("IAQ_MODEL_TIMEOUT", "300ms")]);
    let file = glb::triangle();
    let mut wire = Wire::open(server.address).await;
    wire.send(head(BUREAU, &format!("Content-Length: {}\r\n", file.len())))
        .await;
    wire.send(&file[..100]).await;
    wire.answer().await.problem(408, "request_timeout");
    assert_untouched(&server).await;
}

#[tokio::test]
async fn a_stop_waits_for_no_upload() {
    let server = Server::start();
    let file = glb::triangle();
    let mut wire = Wire::open(server.address).await;
    wire.send(head(BUREAU, &format!("Content-Length: {}\r\n", file.len())))
        .await;
    wire.send(&file[..100]).await;
    until_files(&server, 1).await;
    server.terminate();
    wire.answer().await.problem(503, "stopping");
    let (content, server) = server.ended_and_started_again().await;
    assert!(content);
    assert_untouched(&server).await;
}

#[tokio::test]
async fn models_are_there_after_a_kill_and_unfinished_ones_are_not() {
    let server = Server::start();
    let model = taken(&server, BUREAU, glb::triangle_and(5000)).await;
    let file = glb::triangle_and(100_000);
    let mut wire = Wire::open(server.address).await;
    let path = "/api/models?enseigne=Maison&salle=Salon";
    wire.send(head(path, &format!("Content-Length: {}\r\n", file.len())))
        .await;
    wire.send(&file[..50_000]).await;
    until_files(&server, 2).await;
    // As if it had been killed between the file and its record.
    let stray = models_folder(&server).join(format!("{}.glb", "0".repeat(32)));
    std::fs::write(stray, &file).unwrap();
    let foreign = models_folder(&server).join("mine.glb");
    std::fs::write(&foreign, "mine").unwrap();
    let server = server.revive();
    std::fs::remove_file(foreign).unwrap();
    assert_eq!(files(server.folder()).len(), 1);
    assert_eq!(server.get_json("/api/models").await, json!([model]));
    let answer = server.get(model["url"].as_str().unwrap()).await;
    assert!(answer.bytes().await.unwrap() == glb::triangle_and(5000));
}

#[tokio::test]
async fn a_file_that_is_missing_or_damaged_is_told_as_such() {
    let server = Server::start();
    let model = taken(&server, BUREAU, glb::triangle()).await;
    let url = model["url"].as_str().unwrap();
    let file = models_folder(&server).join(format!("{}.glb", model["id"].as_str().unwrap()));
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, &good[..100]).unwrap();
    problem(server.get(url).await, 500, "model_damaged").await;
    // Of the right size: it is broken off, so that no browser keeps it.
    let mut bad = good.clone();
    bad[200] ^= 1;
    std::fs::write(&file, &bad).unwrap();
    // The connection may end before or behind the head.
    if let Ok(answer) = client().get(server.url(url)).send().await {
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.is_err());
    }
    server.logged("the file of a model is damaged");
    std::fs::remove_file(&file).unwrap();
    problem(server.get(url).await, 500, "model_missing").await;
    let server = server.revive();
    problem(server.get(url).await, 500, "model_missing").await;
    assert_eq!(server.get_json("/api/models").await, json!([model]));
    // Sending it again makes it good.
    drop(taken(&server, BUREAU, good.clone()).await);
    assert!(server.get(url).await.bytes().await.unwrap() == good);
    assert!(server.panics().is_empty());
}

#[tokio::test]
async fn a_store_that_fails_takes_no_model_and_forgets_none() {
    let server = Server::start();
    let model = taken(&server, BUREAU, glb::triangle()).await;
    let lock = server.lock_store().await;
    let refused = put(&server, BUREAU, glb::triangle_and(8)).await;
    problem(refused, 503, "store_unavailable").await;
    crate::harness::unlock_store(lock).await;
    let good = server.get(model["url"].as_str().unwrap()).await;
    assert!(good.bytes().await.unwrap() == glb::triangle());
    let second = taken(&server, BUREAU, glb::triangle_and(16)).await;
    assert_eq!(server.get_json("/api/models").await, json!([second]));
    assert_eq!(files(server.folder()).len(), 1);
}

#[tokio::test]
async fn of_another_site_there_is_no_model() {
    let stage = Stage::new().await;
    let bureau = format!("PUT {BUREAU}");
    let ours = stage
        .upload(&bureau, &of_site("operator", "Maison"), glb::triangle())
        .await;
    assert_eq!(ours.status(), 201);
    let ours: Value = ours.json().await.unwrap();
    assert_eq!(ours["created_by"], "operator");
    let classe = "PUT /api/models?enseigne=École&salle=Classe";
    let theirs = stage.upload(classe, &operator(), glb::triangle()).await;
    let theirs: Value = theirs.json().await.unwrap();

    let (elsewhere, their_operator) = (of_site("viewer", "École"), of_site("operator", "École"));
    assert_eq!(
        stage.json("GET /api/models", &viewer(), None).await,
        json!([ours, theirs])
    );
    assert_eq!(
        stage.json("GET /api/models", &elsewhere, None).await,
        json!([theirs])
    );
    let answer = async |method: &str, id: &str, who: &Credentials| {
        let response = stage
            .call(&format!("{method} /api/models/{id}"), who, None)
            .await;
        let status = response.status().as_u16();
        let mut headers = response.headers().clone();
        headers.remove("x-request-id");
        headers.remove("x-server-time");
        headers.remove("date");
        let mut body: Value = response.json().await.unwrap();
        body["request_id"] = Value::Null;
        (status, headers, body)
    };
    let (id, none) = (ours["id"].as_str().unwrap(), "0".repeat(32));
    for (method, who) in [
        ("GET", &elsewhere),
        ("GET", &their_operator),
        ("DELETE", &their_operator),
    ] {
        let foreign = answer(method, id, who).await;
        assert_eq!(foreign.0, 404);
        assert_eq!(foreign, answer(method, &none, who).await, "{method}");
    }
    let foreign = stage
        .upload(&bureau, &their_operator, glb::triangle_and(4))
        .await;
    let foreign = problem(foreign, 403, "forbidden").await;
    assert_eq!(faults(&foreign["errors"]), [("/enseigne", "forbidden")]);
    assert_eq!(
        stage.json("GET /api/models", &viewer(), None).await,
        json!([ours, theirs])
    );
}

#[tokio::test]
async fn two_servers_do_not_share_a_folder() {
    let server = Server::start();
    let folder = models_folder(&server);
    let ended = Server::attempt(&[("IAQ_MODELS_DIR", folder.to_str().unwrap())]);
    let logged = ended.err().unwrap().logged;
    assert!(
        logged.contains("IAQ_MODELS_DIR") && logged.contains("another server"),
        "{logged}"
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let ended = Server::attempt(&[("IAQ_MODELS_DIR", "/dev/null/models")]);
    let logged = ended.err().unwrap().logged;
    assert!(logged.contains("IAQ_MODELS_DIR"), "{logged}");
    assert!(!logged.contains("panicked"), "{logged}");
}

#[tokio::test]
async fn models_are_counted() {
    let server = Server::start();
    drop(taken(&server, BUREAU, glb::triangle()).await);
    problem(put(&server, BUREAU, polyglot()).await, 422, "bad_model").await;
    let metrics = server.get("/metrics").await.text().await.unwrap();
    for line in [
        "iaqverse_models 1".to_owned(),
        format!("iaqverse_models_bytes {}", glb::triangle().len()),
        "iaqverse_model_uploads_refused_total 1".to_owned(),
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}: {metrics}"
        );
    }
}
