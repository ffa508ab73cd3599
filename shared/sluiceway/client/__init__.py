"""What an application in a region uses: rules that follow the releases, evaluated in this process.

- `client`: follow one region, evaluate, report what is applied
- `cache`: the last good rules, on disk
"""
