# Lies in libmakepkg's lint_pkgbuild directory of a working copy. makepkg looks through the text of a function with a pipe
# and a grep for each attribute, hundreds of times: here the lines that assign something are found once a function. The
# result is the same, a second earlier, and half a minute where programs are emulated.
declare -gA portsmith_assignments=()
extract_function_variable() {
	local funcname=$1 attr=$2 isarray=$3 outputvar=$4 attr_regex= line= text= decl= r=1 shellopts
	if [[ ! -v portsmith_assignments[$funcname] ]]; then
		text=$(declare -f "$funcname" || declare -f package) 2>/dev/null
		while IFS= read -r line; do
			[[ $line =~ ^[[:space:]]*' '[a-z0-9_]+\+?= ]] && decl+=$line$'\n'
		done <<<"$text"
		portsmith_assignments[$funcname]=$decl
	fi
	[[ ${portsmith_assignments[$funcname]} == *" $attr="* || ${portsmith_assignments[$funcname]} == *" $attr+="* ]] || return 1
	if (( isarray )); then
		attr_regex="^[[:space:]]* $attr\\+?=\\("
	else
		attr_regex="^[[:space:]]* $attr\\+?=[^(]"
	fi
	while IFS= read -r line; do
		[[ $line =~ $attr_regex ]] || continue
		decl=${line#"${line%%[![:space:]]*}"}
		eval "${decl/#$attr/$outputvar}"
		r=0
	done <<<"${portsmith_assignments[$funcname]}"
	return $r
}
