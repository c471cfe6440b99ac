//! The environment variables that are read, all of them listed here:
//!
//! | variable | what it does |
//! |---|---|
//! | `NO_COLOR` | not empty: no colour, unless `--color always` (no-color.org) |
//! | `TERM` | `dumb`: no colour and no progress bars |
//! | `TMPDIR` | where `replay --all` does steps, unless `--scratch` says where (elsewhere than on Unix, what the system names) |
//! | `PATH` | where `retrace-cluster` is looked for, if it does not lie beside `retrace` |
//! | `XDG_STATE_HOME`, else `HOME` | where what was typed into the shell of `query` is kept: `retrace/history` there, or in `.local/state` of the home |
//! | `HOME` | where fonts are looked for beside the system's, for characters in PNG charts that our font lacks: `.fonts` and `.local/share/fonts` there |
//! | `XDG_CACHE_HOME`, else `HOME` | where `query` and `audit` note which files they have read whole: `retrace/checked` there, or in `.cache` of the home; without either they note nothing |
//! | `AWS_…`, `GOOGLE_…` | how `s3://` and `gs://` are reached: `AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_SKIP_SIGNATURE`, `GOOGLE_SERVICE_ACCOUNT` and the others that the crate `object_store` names |
//! | `RETRACE_ISA` | the instruction set that the kernels use, `baseline`, `avx2` or `avx512`: it makes no difference but to speed, and this is how to see that |
//!
//! The thread pool reads `RAYON_NUM_THREADS` by itself; `--threads` has priority. The HTTP client reads `HTTPS_PROXY`,
//! `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` by itself.

use std::env;
use std::path::{Path, PathBuf};

use retrace_files::RegularFile;

/// The settings from the environment.
#[derive(Debug)]
pub(crate) struct Environment {
    /// Colours are disabled.
    pub(crate) no_color: bool,
    /// The terminal cannot move its cursor.
    pub(crate) dumb_terminal: bool,
    /// The instruction set for the kernels.
    pub(crate) isa: Option<String>,
}

impl Environment {
    /// Reads the environment.
    pub(crate) fn read() -> Self {
        Self {
            no_color: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb_terminal: env::var_os("TERM").is_some_and(|value| value == "dumb"),
            isa: env::var_os("RETRACE_ISA").map(|value| value.to_string_lossy().into_owned()),
        }
    }
}

/// The path of this binary, if the system reports it.
pub(crate) fn binary() -> Option<PathBuf> {
    env::current_exe().ok()
}

/// The directories in which programs are searched, without relative ones: the current directory can be a release from
/// someone else.
pub(crate) fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).filter(|place| place.is_absolute()).collect())
        .unwrap_or_default()
}

/// The file with the shell's history; `None` if there is no home directory.
pub(crate) fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("retrace/history"))
}

/// The cache directory; `None` if there is no home directory.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("retrace"))
}

/// The fonts on this machine, those that probably have Chinese characters first, then by path.
pub(crate) fn font_files() -> Vec<PathBuf> {
    const SYSTEM: [&str; 5] =
        ["/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "/Library/Fonts", r"C:\Windows\Fonts"];
    let home = env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let own =
        home.iter().flat_map(|home| [home.join(".fonts"), home.join(".local/share/fonts"), home.join("Library/Fonts")]);
    let mut files = Vec::new();
    for directory in SYSTEM.iter().map(PathBuf::from).chain(own) {
        find_fonts(&directory, 4, &mut files);
    }
    files.sort_by_cached_key(|path| (!is_probably_chinese(path), path.clone()));
    files
}

/// The fonts in a directory and `depth` levels below it.
fn find_fonts(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    const MOST: usize = 10_000;
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten().take(MOST) {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        let is_font = ending.is_some_and(|ending| ["ttf", "otf", "ttc", "otc"].iter().any(|known| ending == *known));
        if kind.is_dir() && depth > 0 {
            find_fonts(&path, depth - 1, files);
        } else if is_font && files.len() < MOST {
            files.push(path);
        }
    }
}

fn is_probably_chinese(path: &Path) -> bool {
    const NAMES: [&str; 12] = [
        "cjk",
        "sourcehan",
        "hansans",
        "wqy",
        "fallback",
        "pingfang",
        "hiragino",
        "msyh",
        "simsun",
        "simhei",
        "uming",
        "unifont",
    ];
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    NAMES.iter().any(|known| name.contains(known))
}

/// Maximum memory of this process in bytes: the machine's, or the limit of its control group or process. `None` if the
/// system does not report it.
pub(crate) fn memory() -> Option<usize> {
    let read = |path: &str| RegularFile::open(Path::new(path)).ok()?.text(1 << 16).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().split(' ').next()?.parse::<usize>().ok()?.checked_mul(1024)
    });
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    let process = read("/proc/self/limits").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
        line.split_whitespace().next()?.parse().ok()
    });
    [machine, group, process].into_iter().flatten().min()
}

/// The proxies for URLs.
pub(crate) fn proxies() -> Vec<String> {
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].iter().filter_map(|name| env::var(name).ok()).collect()
}

/// The directory for temporary files.
pub(crate) fn scratch_directory() -> PathBuf {
    env::temp_dir()
}

/// The settings for object stores.
pub(crate) fn object_stores() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    env::vars_os()
        .filter_map(text)
        .filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("GOOGLE_"))
        .collect()
}
