# Prints the .SRCINFO of ./PKGBUILD as `makepkg --printsrcinfo` does, with the installed libmakepkg.
# Runs in a sandbox; what the PKGBUILD prints goes to stderr. `MARK` on stdout says that the sandbox works.
LIBRARY=/usr/share/makepkg
exec 3>&1 1>&2 </dev/null
source "$LIBRARY/srcinfo.sh" || exit 1
printf '%s\n' "$1" >&3

# The library looks through the text of a function with a pipe for each attribute: once a function is enough.
declare -A portsmith_assignments=()
extract_function_variable() {
	local funcname=$1 attr=$2 isarray=$3 outputvar=$4 attr_regex= line= text= decl= r=1
	if [[ ! -v portsmith_assignments[$funcname] ]]; then
		text=$(declare -f "$funcname" || declare -f package) 2>/dev/null
		while IFS= read -r line; do
			[[ $line =~ ^[[:space:]]*' '[a-z0-9_]+\+?= ]] && decl+=$line$'\n'
		done <<<"$text"
		portsmith_assignments[$funcname]=$decl
	fi
	[[ ${portsmith_assignments[$funcname]} == *" $attr"?(+)=* ]] || return 1
	if (( isarray )); then
		attr_regex="^[[:space:]]* $attr\\+?=\\("
	else
		attr_regex="^[[:space:]]* $attr\\+?=[^(]"
	fi
	while IFS= read -r line; do
		[[ $line =~ $attr_regex ]] || continue
		decl=${line##*([[:space:]])}
		eval "${decl/#$attr/$outputvar}"
		r=0
	done <<<"${portsmith_assignments[$funcname]}"
	return $r
}

unset pkgname "${pkgbuild_schema_strings[@]}" "${pkgbuild_schema_arrays[@]}"
startdir=$PWD srcdir=$PWD/src pkgdir=$PWD/pkg
shopt -u extglob
source ./PKGBUILD || { echo 'the PKGBUILD ends with a failure' >&2; exit 1; }
shopt -s extglob
pkgbase=${pkgbase:-${pkgname[0]}}
write_srcinfo_content >&3
