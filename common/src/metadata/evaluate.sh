# Prints the .SRCINFO of ./PKGBUILD as `makepkg --printsrcinfo` does, with the installed libmakepkg.
#
# Runs in a sandbox. The result goes to what was stdout, between the lines BEGIN ($1) and END ($2); what the PKGBUILD
# prints goes to stderr. Three functions of the library are replaced by quicker ones with the same result. Names of our
# own begin with `portsmith_`, since the PKGBUILD sees every variable here, as it sees makepkg's.

# Seconds, KiB, processes, KiB, files: of each process, but for the number of processes. They can only be lowered.
# Processes are counted within the sandbox from Linux 5.14 on, for the account before.
ulimit -t 5 -v 524288 -u 128 -f 16384 -n 256 -c 0 || exit 1
exec {portsmith_result}>&1 1>&2 </dev/null
# What whoever started the tool left open is none of the PKGBUILD's business.
for portsmith_fd in /proc/self/fd/*; do
	portsmith_fd=${portsmith_fd##*/}
	(( portsmith_fd > 2 && portsmith_fd != portsmith_result )) && exec {portsmith_fd}>&-
done
LIBRARY=/usr/share/makepkg
source "$LIBRARY/srcinfo.sh" || exit 1
printf '%s\n' "$1" >&"$portsmith_result"
portsmith_end=$2
set --

# The lines of a package's function that assign something, by "FUNCTION ATTRIBUTE NUMBER", as the library's grep would
# find them: looked for once. They are read from a file, since a pipe would mean another process and a here-string a
# system call for each byte; and without regular expressions, which would cost more than everything else.
declare -A portsmith_lines=() portsmith_count=()
portsmith_read_function() {
	local portsmith_line portsmith_indent portsmith_key portsmith_text=()
	{ declare -f "$1" || declare -f package; } >/tmp/portsmith-function
	mapfile -t portsmith_text </tmp/portsmith-function
	for portsmith_line in "${portsmith_text[@]}"; do
		[[ $portsmith_line == [[:space:]]*=* ]] || continue
		portsmith_indent=${portsmith_line%%[![:space:]]*}
		portsmith_line=${portsmith_line#"$portsmith_indent"}
		portsmith_key=${portsmith_line%%[!A-Za-z0-9_]*}
		[[ $portsmith_key && $portsmith_indent == *' ' && ${portsmith_line#"$portsmith_key"} == ?(+)=* ]] || continue
		portsmith_key="$1 $portsmith_key"
		portsmith_lines["$portsmith_key $((portsmith_count["$portsmith_key"]++))"]=$portsmith_line
	done
}

# The library's starts two processes for each attribute.
extract_function_variable() {
	local funcname=$1 attr=$2 isarray=$3 outputvar=$4 decl= r=1 portsmith_number portsmith_value
	for (( portsmith_number = 0; portsmith_number < portsmith_count["$funcname $attr"]; portsmith_number++ )); do
		decl=${portsmith_lines["$funcname $attr $portsmith_number"]}
		portsmith_value=${decl#*=}
		if (( isarray )); then
			[[ $portsmith_value == \(* ]] || continue
		else
			[[ $portsmith_value == [!\(]* ]] || continue
		fi
		eval "${decl/#$attr/$outputvar}"
		r=0
	done
	return $r
}

# The library's copies each array twice.
extract_global_variable() {
	local attr=$1 isarray=$2 outputvar=$3
	local -n portsmith_variable=$attr
	if (( isarray )); then
		(( ${#portsmith_variable[@]} )) && array_build "$outputvar" "$attr"
	else
		[[ ${!attr} ]] && printf -v "$outputvar" %s "${!attr}"
	fi
}

# The library's looks closely for what is nowhere in the PKGBUILD, which is most of it.
pkgbuild_extract_to_srcinfo() {
	local pkgname=$1 attrname=$2 isarray=$3 outvalue=
	local -n portsmith_variable=$attrname
	if [[ $pkgname ]]; then
		[[ -v portsmith_count["package_$pkgname $attrname"] ]] || return
	else
		(( ${#portsmith_variable[@]} )) || return
	fi
	if get_pkgbuild_attribute "$pkgname" "$attrname" "$isarray" 'outvalue'; then
		srcinfo_write_attr "$attrname" "${outvalue[@]}"
	fi
}

# In a function, as makepkg does it: what the PKGBUILD makes with `declare` ends with that.
portsmith_source() {
	shopt -u extglob
	source "$startdir/PKGBUILD" || return
	shopt -s extglob
}

unset pkgname "${pkgbuild_schema_strings[@]}" "${pkgbuild_schema_arrays[@]}"
startdir=$PWD
IFS= read -rd '' <PKGBUILD
[[ $REPLY == *$'\r'* ]] && { echo 'the PKGBUILD has carriage returns' >&2; exit 1; }
unset REPLY
portsmith_source || { echo 'the PKGBUILD ends with a failure' >&2; exit 1; }
pkgbase=${pkgbase:-${pkgname[0]}}
srcdir=$startdir/src pkgdir=$startdir/pkg/$pkgbase
for pkg in "${pkgname[@]}"; do
	portsmith_read_function "package_$pkg"
done
write_srcinfo_content >&"$portsmith_result"
printf '%s\n' "$portsmith_end" >&"$portsmith_result"
exit 0
