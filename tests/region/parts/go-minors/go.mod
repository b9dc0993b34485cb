// Go wants a file of this name; what is built of is in the .mod file of each minor (-modfile).
module clusterous.test/minors

go 1.26.0
