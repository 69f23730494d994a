//! Owns the comparison of the archive reader with other tar programs: they write, and Python's tarfile reads beside us.

#[cfg(test)]
mod oracle {
    use layerfs_driver::store::archive::{ArchiveReader, Entry, EntryKind, EntryPath};
    use serde_json::{Map, Value, json};
    use std::collections::BTreeSet;
    use std::fs::{self, File};
    use std::io::BufReader;
    use std::os::unix::fs::FileExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive_oracle/oracle.py");

    /// Whether a program is there. In CI all of them have to be.
    fn present(program: &str, package: &str) -> bool {
        let found = Command::new(program).arg("--version").output().is_ok();
        let required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(found || !required, "{program} is missing (package {package})");
        if !found {
            println!("skipped: {program} is missing (package {package})");
        }
        found
    }

    fn run(command: &mut Command) -> String {
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn python(deed: &str, path: &Path) -> String {
        run(Command::new("python3").arg(SCRIPT).arg(deed).arg(path))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn path_hex(path: &EntryPath) -> String {
        let names: Vec<&[u8]> = path.components().iter().map(|name| name.as_bytes()).collect();
        hex(&names.join(&b'/'))
    }

    fn kind(kind: &EntryKind) -> (&'static str, String, Value) {
        match kind {
            EntryKind::Directory => ("directory", String::new(), json!([])),
            EntryKind::File => ("file", String::new(), json!([])),
            EntryKind::Symlink { target } => ("symlink", hex(target), json!([])),
            EntryKind::Hardlink { target } => ("hardlink", path_hex(target), json!([])),
            EntryKind::CharDevice { major, minor } => {
                ("char", String::new(), json!([major, minor]))
            }
            EntryKind::BlockDevice { major, minor } => {
                ("block", String::new(), json!([major, minor]))
            }
            EntryKind::Fifo => ("fifo", String::new(), json!([])),
        }
    }

    fn described(entry: &Entry, sha256: String) -> Value {
        let (kind, target, device) = kind(&entry.kind);
        let mtime = i128::from(entry.mtime.secs) * 1_000_000_000 + i128::from(entry.mtime.nanos);
        let xattrs: Map<String, Value> =
            entry.xattrs.iter().map(|x| (hex(&x.name), hex(&x.value).into())).collect();
        json!({
            "path": path_hex(&entry.path), "kind": kind, "target": target, "device": device,
            "size": entry.size, "mode": entry.mode, "uid": entry.uid, "gid": entry.gid,
            "mtime_ns": mtime.to_string(), "xattrs": xattrs, "sha256": sha256,
        })
    }

    /// Writes the pieces of a file where they belong, and gives the digest of the whole.
    fn digest<R: std::io::Read>(
        reader: &mut ArchiveReader<R>,
        size: u64,
        scratch: &Path,
    ) -> String {
        let file = File::create(scratch).unwrap();
        let mut buf = [0; 3000];
        while let Some(piece) = reader.next_piece(&mut buf).unwrap() {
            file.write_all_at(&buf[..piece.len], piece.offset).unwrap();
        }
        file.set_len(size).unwrap();
        run(Command::new("sha256sum").arg(scratch)).split(' ').next().unwrap().to_string()
    }

    fn read<R: std::io::Read>(mut reader: ArchiveReader<R>, scratch: &Path) -> Vec<Value> {
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let sha256 = match entry.kind {
                EntryKind::File => digest(&mut reader, entry.size, scratch),
                _ => String::new(),
            };
            entries.push(described(&entry, sha256));
        }
        entries
    }

    /// Compares entry by entry, and gives the kinds seen.
    fn agree(archive: &Path) -> Vec<Value> {
        let scratch = archive.with_extension("contents");
        let open = || BufReader::new(File::open(archive).unwrap());
        let ours = read(ArchiveReader::new(open()), &scratch);
        let theirs: Vec<Value> = python("list", archive)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{archive:?}");
        }
        assert_eq!(ours.len(), theirs.len(), "{archive:?}");
        assert_eq!(ours, read(ArchiveReader::seekable(open()), &scratch), "{archive:?}");
        ours
    }

    fn kinds(entries: &[Value]) -> BTreeSet<&str> {
        entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
    }

    #[test]
    fn tarfile_reads_what_it_wrote_as_we_do() {
        if !present("python3", "python3") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let archives = python("make", dir.path());
        assert_eq!(archives.lines().count(), 3);
        for archive in archives.lines() {
            let entries = agree(Path::new(archive));
            assert!(entries.len() >= 15, "{archive}: {}", entries.len());
            assert_eq!(kinds(&entries).len(), 7, "{archive}");
        }
    }

    /// A tree, and the archive that a program made of it.
    fn archived(dir: &Path, name: &str, program: &str, options: &[&str]) -> PathBuf {
        let archive = dir.join(format!("{name}.tar"));
        run(Command::new(program)
            .args(options)
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .args([&dir.join("tree"), Path::new(".")]));
        archive
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        python("tree", &dir.path().join("tree"));
        dir
    }

    #[test]
    fn gnu_tar_is_read_as_tarfile_reads_it() {
        if !(present("python3", "python3") && present("tar", "tar")) {
            return;
        }
        let dir = tree();
        let sparse = ["--sparse", "--hole-detection=raw"];
        for (name, options) in [
            ("gnu", &["--format=gnu"][..]),
            ("posix", &["--format=posix", "--xattrs"]),
            ("gnu-sparse", &["--format=gnu", sparse[0], sparse[1]]),
            ("oldgnu-sparse", &["--format=oldgnu", sparse[0], sparse[1]]),
            ("pax00", &["--format=posix", sparse[0], sparse[1], "--sparse-version=0.0"]),
            ("pax01", &["--format=posix", sparse[0], sparse[1], "--sparse-version=0.1"]),
            ("pax10", &["--format=posix", sparse[0], sparse[1], "--sparse-version=1.0"]),
        ] {
            let archive = archived(dir.path(), name, "tar", options);
            let entries = agree(&archive);
            assert!(entries.len() >= 20, "{name}: {}", entries.len());
            assert_eq!(kinds(&entries).len(), 5, "{name}");
            let stored = fs::metadata(&archive).unwrap().len();
            let is_sparse = options.contains(&"--sparse");
            assert_eq!(stored < 4 << 20, is_sparse, "{name} has {stored} bytes");
            fs::remove_file(archive).unwrap();
        }
    }

    #[test]
    fn bsdtar_is_read_as_tarfile_reads_it() {
        if !(present("python3", "python3") && present("bsdtar", "libarchive-tools")) {
            return;
        }
        let dir = tree();
        for format in ["pax", "paxr", "gnutar"] {
            let option = format!("--format={format}");
            let entries = agree(&archived(dir.path(), format, "bsdtar", &[option.as_str()]));
            assert!(entries.len() >= 20, "{format}: {}", entries.len());
        }
    }

    /// Largest memory that this process has had, in bytes.
    fn peak() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// A header in ustar's layout.
    fn head(type_byte: u8, size: u64) -> Vec<u8> {
        let mut block = vec![0; 512];
        block[..4].copy_from_slice(b"name");
        block[124..136].copy_from_slice(&[&[0x80, 0, 0, 0], &size.to_be_bytes()[..]].concat());
        block[156] = type_byte;
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn blocks(type_byte: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = head(type_byte, data.len() as u64);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    /// Records, as many as an extended header can hold.
    fn full(record: &dyn Fn(usize) -> String) -> Vec<u8> {
        let mut body = Vec::new();
        for i in 0.. {
            let record = record(i);
            if body.len() + record.len() > 1 << 20 {
                break;
            }
            body.extend(record.into_bytes());
        }
        body
    }

    /// Small archives that claim much, or are built to make a reader remember much, each with the end of the answer.
    fn bombs() -> Vec<(Vec<u8>, &'static str)> {
        let claim = |type_byte| [head(type_byte, 10 << 30), vec![b'1'; 10_000]].concat();
        let about = |body: &[u8]| [blocks(b'x', body), blocks(b'0', b"")].concat();
        let few: String = (0..13_000).map(|i| format!("22 SCHILY.xattr.{i:04x}=\n")).collect();
        let attributes = full(&|i| format!("23 SCHILY.xattr.{i:05x}=\n"));
        let unknown = full(&|i| format!("21 GNU.sparse.{i:05x}=\n"));
        let size = "21 GNU.sparse.size=9\n";
        let pairs = full(&|i| {
            let pair = "25 GNU.sparse.offset=000\n27 GNU.sparse.numbytes=000\n";
            if i == 0 { size.to_string() } else { pair.to_string() }
        });
        let list = format!("{size}1000019 GNU.sparse.map={}0\n", "0,".repeat(499_997));
        let global = |i: u8| format!("60021 SCHILY.xattr.{i:02x}={}\n", "v".repeat(59_998));
        let globals: Vec<u8> = (0..200).flat_map(|i| blocks(b'g', global(i).as_bytes())).collect();
        let form = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.realsize=999\n";
        let map = [blocks(b'x', form), blocks(b'0', b"1048576\n0\n0\n")].concat();
        vec![
            (claim(b'x'), "more than 1 MiB"),
            (claim(b'g'), "more than 1 MiB"),
            (claim(b'L'), "more than 1 MiB"),
            (claim(b'K'), "more than 1 MiB"),
            (claim(b'0'), "inside its data"),
            (claim(b'D'), "inside its data"),
            (claim(b'V'), "inside its data"),
            (about(few.as_bytes()), "read"),
            (about(&attributes), "longer than 64 KiB together"),
            (about(&unknown), "read"),
            (about(&pairs), "read"),
            (about(list.as_bytes()), "read"),
            (globals, "global headers hold more than 128 KiB"),
            (map, "longer than the stored data"),
        ]
    }

    const BOMBED: &str = "LAYERFS_TEST_BOMBED";

    /// The claims are read in a process of their own, where nothing else moves the peak.
    #[test]
    fn bombs_need_little_memory() {
        if let Some(dir) = std::env::var_os(BOMBED) {
            return answer_bombs(Path::new(&dir));
        }
        let dir = tempfile::tempdir().unwrap();
        for (i, (bytes, answer)) in bombs().iter().enumerate() {
            fs::write(dir.path().join(format!("{i}.tar")), bytes).unwrap();
            fs::write(dir.path().join(format!("{i}.answer")), answer).unwrap();
        }
        let this = std::env::current_exe().unwrap();
        let test = ["--exact", "oracle::bombs_need_little_memory", "--nocapture"];
        let said = run(Command::new(this).args(test).env(BOMBED, dir.path()));
        assert!(said.contains("bombs answered"), "{said}");
    }

    fn answer_bombs(dir: &Path) {
        let before = peak();
        let mut answered = 0;
        while let Ok(file) = File::open(dir.join(format!("{answered}.tar"))) {
            let mut reader = ArchiveReader::new(BufReader::new(file));
            let answer = loop {
                match reader.next_entry() {
                    Ok(Some(_)) => {}
                    Ok(None) => break "read".to_string(),
                    Err(e) => break e.to_string(),
                }
            };
            let expected = fs::read_to_string(dir.join(format!("{answered}.answer"))).unwrap();
            assert!(answer.ends_with(&expected), "{answered}: {answer}");
            let grown = peak() - before;
            assert!(grown <= 12 << 20, "{answered}: {grown} bytes more than before");
            answered += 1;
        }
        println!("{answered} bombs answered, {} KiB more than before", (peak() - before) >> 10);
    }
}
