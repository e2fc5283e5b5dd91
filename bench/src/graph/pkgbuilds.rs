//! PKGBUILDs as they come in a distribution: plain ones, libraries that are split, modules of a language in long lists,
//! values that depend on the architecture, functions that are made of functions.

/// The name and the text of one.
pub(super) fn pkgbuild(number: usize) -> (String, String) {
    let name = format!("evaluated-{number:03}");
    let text = match number % 10 {
        0..=3 => plain(&name, number),
        4 | 5 => module(&name, number),
        6 | 7 => library(&name, number),
        8 => per_architecture(&name, number),
        _ => many(&name, number),
    };
    (name, text)
}

fn plain(name: &str, number: usize) -> String {
    format!(
        r#"# Maintainer: Somebody <somebody@example.org>

pkgname={name}
pkgver=1.{number}
pkgrel=1
pkgdesc="A tool that does one thing: number {number}"
arch=('x86_64')
url="https://www.example.org/$pkgname/"
license=('GPL3')
depends=('glibc' 'zlib' "ncurses>=6")
makedepends=('cmake' 'ninja' 'git')
checkdepends=('python')
optdepends=('perl: for the scripts'
            'bash-completion: for completion')
backup=("etc/$pkgname.conf")
source=("https://www.example.org/$pkgname/$pkgname-$pkgver.tar.xz"{{,.asc}}
        fix-build.patch)
sha256sums=('{number:064x}'
            'SKIP'
            '{number:064x}')
validpgpkeys=('0123456789ABCDEF0123456789ABCDEF01234567') # Somebody

prepare() {{
  cd "$pkgname-$pkgver"
  patch -Np1 -i ../fix-build.patch
}}

build() {{
  cmake -S $pkgname-$pkgver -B build -G Ninja -DCMAKE_INSTALL_PREFIX=/usr
  ninja -C build
}}

check() {{
  ninja -C build test
}}

package() {{
  DESTDIR="$pkgdir" ninja -C build install
  install -Dm644 "$pkgname-$pkgver/COPYING" -t "$pkgdir/usr/share/licenses/$pkgname"
}}
"#
    )
}

fn module(name: &str, number: usize) -> String {
    format!(
        r#"_name={name}
pkgname="python-$_name"
pkgbase={name}
pkgver=0.{number}.1
_commit={number:040x}
pkgrel=2
epoch=1
pkgdesc="Bindings for $_name"
arch=(any)
url="https://example.org/project/${{_name//-/_}}"
license=(MIT)
_deps=(six requests attrs)
depends=(python "${{_deps[@]/#/python-}}")
makedepends=(python-build python-installer python-setuptools python-wheel)
checkdepends=(python-pytest{{,-asyncio,-mock}})
for _extra in docs tests; do
  optdepends+=("python-$_name-$_extra: for $_extra")
done
source=("git+https://git.example.org/$_name.git#commit=$_commit")
b2sums=(SKIP)

pkgver() {{
  cd $_name
  git describe --tags | sed 's/^v//;s/-/+/g'
}}

build() {{
  cd $_name
  python -m build --wheel --no-isolation
}}

package() {{
  cd $_name
  python -m installer --destdir="$pkgdir" dist/*.whl
  local site_packages=$(python -c "import site; print(site.getsitepackages()[0])")
  install -d "$pkgdir/usr/share/licenses/$pkgname"
}}
"#
    )
}

fn library(name: &str, number: usize) -> String {
    format!(
        r#"pkgbase={name}
pkgname=({name} {name}-libs {name}-docs)
pkgver=2.{number}
pkgrel=3
pkgdesc="A library and what belongs to it"
arch=(x86_64)
url="https://www.example.org/{name}"
license=(LGPL2.1 custom)
makedepends=(meson gtk-doc gobject-introspection "glib2>=2.70" docbook-xsl)
options=(debug !lto)
source=("https://download.example.org/{name}-$pkgver.tar.gz")
sha512sums=('{number:0128x}')

build() {{
  arch-meson {name}-$pkgver build -D docs=true
  meson compile -C build
}}

package_{name}() {{
  pkgdesc+=" (programs)"
  depends=({name}-libs=$pkgver-$pkgrel glib2)
  optdepends=('{name}-docs: to read')
  groups=(tools)
  install={name}.install

  meson install -C build --destdir "$pkgdir"
  mkdir -p libs/usr/lib
  mv "$pkgdir"/usr/lib/*.so* libs/usr/lib
}}

package_{name}-libs() {{
  pkgdesc+=" (libraries)"
  depends=(glibc gcc-libs)
  depends+=(libffi.so)
  provides=(lib{name}.so=2-64)
  conflicts=("{name}<2")
  replaces=({name}-compat)
  mv libs/* "$pkgdir"
}}

package_{name}-docs() {{
  pkgdesc+=" (documentation)"
  arch=(any)
  depends=()
  license=(FDL1.3)
  mv docs/* "$pkgdir"
}}
"#
    )
}

fn per_architecture(name: &str, number: usize) -> String {
    format!(
        r#"pkgname={name}
pkgver={number}
pkgrel=1
pkgdesc="What differs between architectures"
arch=(x86_64 aarch64 i686)
url=https://example.org
license=(Apache)
depends=(glibc)
depends_x86_64=(lib32-glibc)
makedepends=(gcc)
makedepends_aarch64=(nasm-arm)
source=(common.tar.gz)
sha256sums=(SKIP)
source_x86_64=("https://example.org/$pkgver/x64.tar.gz")
source_aarch64=("https://example.org/$pkgver/arm64.tar.gz")
source_i686=("https://example.org/$pkgver/x86.tar.gz")
sha256sums_x86_64=('{number:064x}')
sha256sums_aarch64=('{number:064x}')
sha256sums_i686=('{number:064x}')

case $CARCH in
  x86_64) _march=x86-64 ;;
  *) _march=$CARCH ;;
esac

build() {{
  make MARCH=$_march
}}

package() {{
  depends_i686=(lib-i686)
  provides=("{name}-$_march")
  make DESTDIR="$pkgdir" install
}}
"#
    )
}

fn many(name: &str, number: usize) -> String {
    format!(
        r#"pkgbase={name}
_parts=(base drivers doc devel tools extra)
pkgname=({name})
for _part in "${{_parts[@]}}"; do
  pkgname+=("{name}-$_part")
done
pkgver=5.{number}
pkgrel=1
arch=(x86_64)
url="https://www.example.org"
license=(GPL2)
makedepends=(bc libelf pahole cpio perl tar xz)
options=(!strip)
source=(config)
sha256sums=(SKIP)

_package() {{
  pkgdesc="Everything of $pkgbase"
  depends=("${{_parts[@]/#/{name}-}}")
}}

_package_part() {{
  pkgdesc="A part of $pkgbase"
  depends=(glibc)
  provides=("part=$pkgver")
  cd build
  make install
}}

eval "package_{name}() {{ $(declare -f _package | tail -n +2); }}"
for _part in "${{_parts[@]}}"; do
  eval "package_{name}-$_part() {{
    $(declare -f _package_part | tail -n +2)
  }}"
done
"#
    )
}
