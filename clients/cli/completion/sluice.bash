# bash completion for sluice: commands and flags come from the program itself, so they are always those of its version.
_sluice()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command="" sub="" word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -s | --server | -T | --token | --ca | --name) ((i++)) ;;
        -*) ;;
        *) if [[ $command == admin ]]; then sub=$word; break; fi
           command=$word
           [[ $command == admin ]] || break ;;
        esac
    done
    case $prev in
    -f | --file | --ca | --data) compopt -o default; COMPREPLY=(); return ;;
    -o | --output) mapfile -t COMPREPLY < <(compgen -W "text jsonl json" -- "$cur"); return ;;
    -a | --ack) mapfile -t COMPREPLY < <(compgen -W "none accepted stored replicated" -- "$cur"); return ;;
    --overflow) mapfile -t COMPREPLY < <(compgen -W "pause conflate drop_oldest close" -- "$cur"); return ;;
    --from) mapfile -t COMPREPLY < <(compgen -W "new latest first last: since: cur:" -- "$cur"); return ;;
    -p | --pid) mapfile -t COMPREPLY < <(compgen -W "$(pidof sluiced)" -- "$cur"); return ;;
    esac
    if [[ -z $command || $command == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sluice help --names 2>/dev/null | cut -d: -f1)" -- "$cur")
    elif [[ $command == admin && -z $sub ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sluice help --names admin 2>/dev/null | cut -d: -f1) --help" -- "$cur")
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sluice help --names "$command" $sub 2>/dev/null | sed 's/[=:].*//') --help" -- "$cur")
    elif [[ $command == admin ]]; then
        compopt -o default
        COMPREPLY=()
    fi
}
complete -F _sluice sluice
