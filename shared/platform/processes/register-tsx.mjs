// Registers tsx's loader in a worker thread that runs source. Not part of a build.
import { register } from 'tsx/esm/api'

register()
